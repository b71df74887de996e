"""The order of training data: complete, a function of seed and epoch, the same however it is shared."""

from itertools import islice

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, WeightedRandomSampler

from s3prl.training.sampling import BucketBatchSampler, Share, evaluation_stream, plan_epoch, training_stream


class Numbers(Dataset):
    """Item i is (i, a random number)."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return index, (torch.rand(()).item(), np.random.rand())


def collate(items):
    return items


def shuffled(count=23, batch_size=4, **kwargs):
    return DataLoader(Numbers(count), batch_size=batch_size, shuffle=True, collate_fn=collate, **kwargs)


def bucketed(lengths, batch_size=4):
    sampler = BucketBatchSampler(lengths, batch_size)
    return DataLoader(Numbers(len(lengths)), batch_sampler=sampler, collate_fn=collate)


LENGTHS = torch.randint(1, 100, (37,), generator=torch.Generator().manual_seed(0)).tolist()


@pytest.mark.parametrize("loader", [shuffled(), bucketed(LENGTHS)], ids=["shuffled", "bucketed"])
@pytest.mark.parametrize("share", [Share(), Share(2, 0, 1), Share(1, 0, 3), Share(2, 1, 2)])
def test_every_utterance_counts_once_in_an_epoch(loader, share):
    seen = [
        index
        for window in plan_epoch(loader, 1, 0, share)
        for indices, weight in window
        if weight
        for index in indices
    ]
    assert sorted(seen) == list(range(len(loader.dataset)))


def test_a_window_weighs_every_utterance_the_same_however_it_is_dealt():
    for window in plan_epoch(shuffled(23, 4), 1, 0, Share(2, 0, 2)):
        per_item = {weight / len(indices) for indices, weight in window if weight}
        assert max(per_item) == pytest.approx(min(per_item))
        assert sum(weight for _, weight in window) == pytest.approx(4)


@pytest.mark.parametrize("make", [lambda b: shuffled(24, b), lambda b: bucketed(LENGTHS, b)])
def test_the_same_global_batch_gives_the_same_updates(make):
    def updates(loader, share):
        return [
            sorted(i for indices, w in window if w for i in indices)
            for window in plan_epoch(loader, 3, 2, share)
        ]

    one = updates(make(8), Share())
    assert updates(make(4), Share(2, 0, 1)) == one
    assert updates(make(4), Share(1, 0, 2)) == one
    assert updates(make(2), Share(2, 1, 2)) == one


def test_orders_differ_between_epochs_and_seeds_and_repeat_otherwise():
    plans = {
        (seed, epoch): str(plan_epoch(shuffled(), seed, epoch, Share()))
        for seed in (1, 2)
        for epoch in (0, 1)
    }
    assert len(set(plans.values())) == 4
    torch.manual_seed(5)
    assert plans[1, 0] == str(plan_epoch(shuffled(), 1, 0, Share()))


def test_buckets_hold_utterances_of_similar_length():
    spread = [
        max(LENGTHS[i] for i in group) - min(LENGTHS[i] for i in group)
        for group in BucketBatchSampler(LENGTHS, 4).groups(4)
    ]
    assert max(spread) < max(LENGTHS) - min(LENGTHS)
    assert BucketBatchSampler(LENGTHS, 4).groups(4)[0][0] == LENGTHS.index(max(LENGTHS))


def take(loader, start, count, share=None):
    stream = training_stream(loader, 7, *start, share or Share())
    return [(key.epoch, key.window, items) for key, items in islice(stream, count)]


def test_starting_inside_an_epoch_continues_the_same_items_with_the_same_randomness():
    whole = take(shuffled(), (0, 0), 14)
    assert take(shuffled(), (0, 4), 10) == whole[4:]
    assert take(shuffled(), (1, 1), 7) == whole[7:]
    assert whole[0][2] != whole[6][2]


def test_workers_change_nothing():
    assert take(shuffled(num_workers=2), (0, 2), 6) == take(shuffled(), (0, 2), 6)


def test_loading_leaves_the_random_state_of_training_untouched():
    stream = training_stream(shuffled(), 7, 0, 0, Share())
    torch.manual_seed(1)
    np.random.seed(1)
    next(stream)
    drawn = torch.rand(1).item(), np.random.rand()
    torch.manual_seed(1)
    np.random.seed(1)
    assert drawn == (torch.rand(1).item(), np.random.rand())


def test_a_samplers_own_randomness_is_tied_to_the_epoch():
    sampler = BatchSampler(WeightedRandomSampler(torch.ones(20), 20), 4, drop_last=False)
    loader = DataLoader(Numbers(20), batch_sampler=sampler, collate_fn=collate)
    assert take(loader, (0, 0), 8)[5:] == take(loader, (1, 0), 3)


class OwnBatches:
    """A batch sampler of a task's own, as third-party code writes it."""

    def __iter__(self):
        order = np.random.permutation(5)
        return iter([[int(i), int(i) + 5] for i in order])

    def __len__(self):
        return 5


def test_batches_of_a_tasks_own_sampler_are_shared_and_completed():
    loader = DataLoader(Numbers(10), batch_sampler=OwnBatches(), collate_fn=collate)
    shares = [take(loader, (0, 0), 3, Share(2, rank, 1)) for rank in (0, 1)]
    seen = sorted(index for share in shares for _, _, items in share for index, _ in items)
    assert set(seen) == set(range(10))
    weights = [weight for window in plan_epoch(loader, 7, 0, Share(2, 0, 1)) for _, weight in window]
    assert weights == [1, 1, 1, 1, 2, 0]


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(10))


def test_an_iterable_data_set_continues_after_what_was_read():
    loader = DataLoader(Stream(), batch_size=2, collate_fn=collate)
    whole = take(loader, (0, 0), 8)
    assert [items for _, _, items in whole[:5]] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert take(loader, (0, 3), 5) == whole[3:]


def test_evaluation_keeps_the_order_and_the_randomness():
    loader = DataLoader(Numbers(7), batch_size=3, collate_fn=collate)
    total, batches = evaluation_stream(loader, 1)
    batches = list(batches)
    assert total == 3
    assert [[index for index, _ in batch] for batch in batches] == [[0, 1, 2], [3, 4, 5], [6]]
    assert batches == list(
        evaluation_stream(DataLoader(Numbers(7), batch_size=3, collate_fn=collate, num_workers=1), 1)[1]
    )
