"""The order of training data: complete, a function of seed and epoch, the same however it is shared."""

import multiprocessing
from contextlib import closing
from itertools import islice

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, WeightedRandomSampler

from s3prl.training.plan import BucketBatchSampler, Shard, plan_epoch
from s3prl.training.sampling import evaluation_batches, training_batches
from s3prl.utility.errors import DroppedItem


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
@pytest.mark.parametrize("shard", [Shard(), Shard(2, 0, 1), Shard(1, 0, 3), Shard(2, 1, 2)])
def test_every_utterance_counts_once_in_an_epoch(loader, shard):
    seen = [
        index
        for batch in plan_epoch(loader, 1, 0, shard)
        for indices, weight in batch
        if weight
        for index in indices
    ]
    assert sorted(seen) == list(range(len(loader.dataset)))


def test_a_global_batch_weighs_every_utterance_the_same_however_it_is_split():
    for batch in plan_epoch(shuffled(23, 4), 1, 0, Shard(2, 0, 2)):
        per_item = {weight / len(indices) for indices, weight in batch if weight}
        assert max(per_item) == pytest.approx(min(per_item))
        assert sum(weight for _, weight in batch) == pytest.approx(4)


def test_an_item_drawn_again_gets_another_random_state_on_any_number_of_processes():
    def drawn(batch_size, shards, position=0):
        """(item, its random numbers) of two epochs of four global batches."""
        loader = DataLoader(
            Numbers(4), batch_size, sampler=WeightedRandomSampler([1.0] * 4, 32), collate_fn=collate
        )
        streams = [training_batches(loader, 5, 0, position, shard) for shard in shards]
        batches = [batch for stream in streams for batch in islice(stream, 8 - position)]
        for stream in streams:
            stream.close()
        return sorted(item for loaded in batches for item in loaded.batch)

    whole = drawn(8, [Shard()])
    assert len(whole) == 64 == len(set(whole))
    assert drawn(4, [Shard(2, 0), Shard(2, 1)]) == whole
    assert set(drawn(8, [Shard()], position=3)) < set(whole)


@pytest.mark.parametrize("make", [lambda b: shuffled(24, b), lambda b: bucketed(LENGTHS, b)])
def test_the_same_global_batch_gives_the_same_updates(make):
    def updates(loader, shard):
        return [
            sorted(i for indices, w in batch if w for i in indices)
            for batch in plan_epoch(loader, 3, 2, shard)
        ]

    one = updates(make(8), Shard())
    assert updates(make(4), Shard(2, 0, 1)) == one
    assert updates(make(4), Shard(1, 0, 2)) == one
    assert updates(make(2), Shard(2, 1, 2)) == one


def test_orders_differ_between_epochs_and_seeds_and_repeat_otherwise():
    plans = {
        (seed, epoch): str(plan_epoch(shuffled(), seed, epoch, Shard()))
        for seed in (1, 2)
        for epoch in (0, 1)
    }
    assert len(set(plans.values())) == 4
    torch.manual_seed(5)
    assert plans[1, 0] == str(plan_epoch(shuffled(), 1, 0, Shard()))


def test_buckets_hold_utterances_of_similar_length():
    spread = [
        max(LENGTHS[i] for i in group) - min(LENGTHS[i] for i in group)
        for group in BucketBatchSampler(LENGTHS, 4).groups(4)
    ]
    assert max(spread) < max(LENGTHS) - min(LENGTHS)
    assert BucketBatchSampler(LENGTHS, 4).groups(4)[0][0] == LENGTHS.index(max(LENGTHS))


def take(loader, start, count, shard=None):
    stream = training_batches(loader, 7, *start, shard or Shard())
    return [(one.key.epoch, one.key.position, one.batch) for one in islice(stream, count)]


def test_starting_inside_an_epoch_continues_the_same_items_with_the_same_randomness():
    whole = take(shuffled(), (0, 0), 14)
    assert take(shuffled(), (0, 4), 10) == whole[4:]
    assert take(shuffled(), (1, 1), 7) == whole[7:]
    assert whole[0][2] != whole[6][2]


def test_workers_change_nothing():
    assert take(shuffled(num_workers=2), (0, 2), 6) == take(shuffled(), (0, 2), 6)


def test_loading_leaves_the_random_state_of_training_untouched():
    stream = training_batches(shuffled(), 7, 0, 0, Shard())
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
    shards = [take(loader, (0, 0), 3, Shard(2, rank, 1)) for rank in (0, 1)]
    seen = sorted(index for shard in shards for _, _, items in shard for index, _ in items)
    assert set(seen) == set(range(10))
    weights = [weight for batch in plan_epoch(loader, 7, 0, Shard(2, 0, 1)) for _, weight in batch]
    assert weights == [1, 1, 1, 1, 2, 0]


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(10))


def test_an_iterable_data_set_continues_after_what_was_read():
    loader = DataLoader(Stream(), batch_size=2, collate_fn=collate)
    whole = take(loader, (0, 0), 8)
    assert [items for _, _, items in whole[:5]] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert take(loader, (0, 3), 5) == whole[3:]


def evaluated(shard=None, **options):
    loader = DataLoader(Numbers(7), batch_size=3, collate_fn=collate, **options)
    count, batches = evaluation_batches(loader, 1, shard or Shard())
    batches = [(one.key.position, one.batch) for one in batches]
    assert count == len(batches)
    return batches


def test_evaluation_keeps_the_order_and_the_randomness():
    batches = evaluated()
    assert [[index for index, _ in batch] for _, batch in batches] == [[0, 1, 2], [3, 4, 5], [6]]
    assert batches == evaluated(num_workers=1)


def test_processes_share_the_batches_of_an_evaluation():
    first, second = (evaluated(Shard(2, rank)) for rank in (0, 1))
    assert sorted(first + second) == evaluated()
    assert len(first) == 2


def test_a_part_of_an_evaluation_is_its_front():
    loader = DataLoader(Numbers(7), batch_size=3, collate_fn=collate)
    _, batches = evaluation_batches(loader, 1, Shard(), ratio=0.5)
    assert [len(one.batch) for one in batches] == [3, 3]


def even_only(item):
    if item[0] % 2:
        raise DroppedItem(f"{item[0]} is odd")
    return item


def test_dropped_items_leave_their_batch_and_are_noted():
    loader = DataLoader(Numbers(5), batch_size=4, collate_fn=collate)
    _, batches = evaluation_batches(loader, 1, Shard(), prepare=even_only)
    first, second = batches
    assert [index for index, _ in first.batch] == [0, 2]
    assert first.kept == 0.5 and first.notes == ("1 is odd", "3 is odd")
    assert second.kept == 1.0 and not second.notes


def test_a_batch_without_items_left_is_none():
    loader = DataLoader(Numbers(4), batch_sampler=[[1, 3], [0]], collate_fn=collate)
    _, (empty, full) = evaluation_batches(loader, 1, Shard(), prepare=even_only)
    assert empty.batch is None and empty.kept == 0.0
    assert [index for index, _ in full.batch] == [0]


def test_a_process_for_which_no_evaluation_batch_is_left_gets_none():
    loader = DataLoader(Numbers(4), batch_size=4, collate_fn=collate)
    count, batches = evaluation_batches(loader, 0, Shard(2, 1))
    assert (count, list(batches)) == (0, [])


class LargeItems(Dataset):
    """Items that do not fit into a pipe, so that a worker waits for somebody to read them."""

    def __len__(self):
        return 1000

    def __getitem__(self, index):
        return np.zeros(400_000, np.float32)


def test_a_closed_stream_has_ended_its_workers_also_behind_an_error():
    loader = DataLoader(LargeItems(), num_workers=1, collate_fn=list)

    def fail():
        batches = training_batches(loader, 0, 0, 0, Shard())
        with closing(batches):
            next(batches)
            raise ValueError("the traceback keeps this frame")

    with pytest.raises(ValueError, match="keeps") as kept:
        fail()
    assert kept.tb is not None and not multiprocessing.active_children()
