"""The alterations of Mockingjay and TERA: their shares, what they never touch, and the loss."""

import dataclasses
import importlib.util
import random

import pytest
import torch
from public_package import public_package_or_skip

from s3prl.pretrain.common.masked.task import Task, alter, masked_loss
from s3prl.utility.errors import UserError
from s3prl.utility.typed import typed

FRAMES = [120, 90, 61, 33, 8, 5, 1]
DIM = 20
TIME_ONLY = Task(mask_proportion=0.3)


def features(frames=FRAMES, repeat=1):
    """Frames that tell themselves apart, zero after each end."""
    batch = torch.zeros(len(frames) * repeat, max(frames), DIM)
    for number, valid in enumerate(frames * repeat):
        batch[number, :valid] = torch.arange(1.0, valid + 1)[:, None] + torch.arange(DIM) / DIM
    return batch


def runs(covered):
    """Lengths of the runs of True in a row."""
    found, length = [], 0
    for value in [*covered.tolist(), False]:
        if value:
            length += 1
        elif length:
            found.append(length)
            length = 0
    return found


def altered_often(task, repeat=400, frames=FRAMES):
    torch.manual_seed(0)
    given = features(frames, repeat)
    return given, alter(given, frames * repeat, task)


@pytest.mark.parametrize("overlap", [True, False])
def test_padding_is_never_altered_and_never_counted(overlap):
    task = Task(mask_proportion=0.5, mask_frequency=0.3, mask_allow_overlap=overlap, mask_consecutive_min=3)
    given, altered = altered_often(task, repeat=50)
    before = given.clone()
    padding = ~altered.valid
    assert not (altered.times & padding).any()
    assert (altered.features[padding] == 0).all()
    assert torch.equal(given, before)
    assert altered.valid.sum(1).tolist() == FRAMES * 50


def test_utterances_are_zeroed_replaced_or_left_and_the_rest_of_them_stays():
    given, altered = altered_often(TIME_ONLY)
    outside = ~altered.times
    assert torch.equal(altered.features[outside], given[outside])
    fates = {"zeroed": 0, "replaced": 0, "left": 0}
    for before, after, times in zip(given, altered.features, altered.times, strict=True):
        if times.sum() < 5:
            continue
        spans = after[times]
        if (spans == 0).all():
            fates["zeroed"] += 1
        elif torch.equal(spans, before[times]):
            fates["left"] += 1
        else:
            fates["replaced"] += 1
            known = {tuple(frame) for frame in before[before[:, 0] > 0].tolist()}
            assert {tuple(frame) for frame in spans.tolist()} <= known
            shifts = (spans - before[times])[:, 0]
            assert (shifts == shifts.round()).all()
    total = sum(fates.values())
    shares = {name: count / total for name, count in fates.items()}
    assert shares == pytest.approx({"zeroed": 0.8, "replaced": 0.1, "left": 0.1}, abs=0.03)


def test_spans_without_overlap_lie_on_a_grid_with_a_random_phase():
    task = Task(mask_proportion=0.4, mask_allow_overlap=False, mask_bucket_ratio=1.5)
    _, altered = altered_often(task, repeat=100, frames=[120])
    starts = set()
    for times in altered.times:
        assert set(runs(times)) == {7}
        first = times.nonzero()[:, 0]
        begun = [int(frame) for frame in first if frame == 0 or not times[frame - 1]]
        assert len({start % 10 for start in begun}) == 1  # round(7 * 1.5), half to even
        assert len(begun) == round(120 * 0.4 / 7)
        starts.add(begun[0] % 10)
    assert len(starts) > 5


def test_the_number_of_spans_is_that_of_the_proportion():
    task = Task(mask_proportion=0.15, mask_consecutive_min=4, mask_consecutive_max=4)
    _, altered = altered_often(task, repeat=50, frames=[120])
    covered = altered.times.sum(1)
    assert covered.max() <= 4 * round(120 * 0.15 / 4)
    assert covered.float().mean() > 0.8 * 0.15 * 120
    assert not altered.times[:, -1].any()  # the last frame is never reached


def test_lengths_of_spans_are_drawn_for_each_utterance():
    task = Task(mask_proportion=0.1, mask_consecutive_min=2, mask_consecutive_max=5, mask_allow_overlap=False)
    _, altered = altered_often(task, repeat=60, frames=[120])
    lengths = [set(runs(times)) for times in altered.times]
    assert all(len(each) == 1 for each in lengths)
    assert set.union(*lengths) == {2, 3, 4, 5}


def test_one_band_of_frequency_is_zeroed_over_all_time():
    given, altered = altered_often(Task(mask_proportion=0, mask_frequency=0.2))
    widths = altered.dims.sum(1)
    assert set(widths.tolist()) == set(range(5))
    assert all(len(runs(dims)) <= 1 for dims in altered.dims)
    assert torch.equal(altered.features, given.masked_fill(altered.dims[:, None], 0.0))
    assert not altered.times.any()


def test_noise_is_added_to_whole_batches_at_its_rate():
    given, task = features(), Task(mask_proportion=0, noise_proportion=0.3)
    torch.manual_seed(0)
    noise = [alter(given, FRAMES, task).features - given for _ in range(200)]
    changed = [each for each in noise if each.any()]
    assert len(changed) / 200 == pytest.approx(0.3, abs=0.1)
    assert torch.stack(changed).std().item() == pytest.approx(0.2, rel=0.02)
    altered = alter(given, FRAMES, task)
    assert torch.equal(altered.times, altered.valid)  # all cells count


def test_the_loss_is_that_of_the_counted_cells():
    torch.manual_seed(1)
    given = features()
    altered = alter(given, FRAMES, Task(mask_proportion=0.3, mask_frequency=0.4))
    hidden = torch.randn(len(FRAMES), max(FRAMES), 6)
    head = torch.nn.Linear(6, DIM)
    cells = (altered.times[..., None] | altered.dims[:, None]) & altered.valid[..., None]
    distance = (head(hidden) - given)[cells]
    for kind, expected in (("L1", distance.abs().mean()), ("MSE", distance.square().mean())):
        torch.testing.assert_close(masked_loss(head, hidden, given, altered, kind), expected)


def test_a_batch_without_a_counted_cell_has_no_loss_and_no_gradient():
    altered = alter(features([5, 3]), [5, 3], Task())  # too short for a span
    head = torch.nn.Linear(6, DIM)
    loss = masked_loss(head, torch.randn(2, 5, 6), features([5, 3]), altered, "L1")
    loss.backward()
    assert loss == 0 and not head.weight.grad.any()


def test_a_target_of_another_size_counts_the_indices_of_the_band():
    altered = alter(features(), FRAMES, Task(mask_proportion=0, mask_frequency=1.0))
    for size in (DIM - 5, DIM + 5):
        head = torch.nn.Linear(6, size)
        loss = masked_loss(head, torch.randn(7, 120, 6), torch.zeros(7, 120, size), altered, "L1")
        assert loss.isfinite() and loss > 0


@pytest.mark.parametrize(
    ("block", "told"),
    [
        ({"mask_proportion": 0, "mask_frequency": 0.04}, "mask_frequency 0.04 of 20 dimensions no band"),
        ({"mask_consecutive_min": 800, "mask_consecutive_max": 900}, "of 1500 frames gives no span of 800"),
    ],
)
def test_alterations_too_small_to_happen_are_refused(block, told):
    with pytest.raises(UserError, match=told):
        Task(**block).check_counts(DIM, "config.upstream_config.task")
    for fine in ({"mask_proportion": 0}, {"mask_frequency": 0.05}, {"sequence_length": 0}):
        Task(**{**block, **fine, "mask_frequency": fine.get("mask_frequency", 0.0)}).check_counts(DIM, "")


def test_long_inputs_are_altered_too():
    altered = alter(torch.ones(1, 5000, 4), [5000], Task())
    assert altered.times[0, 3000:].any()


@pytest.mark.parametrize(
    ("block", "told"),
    [
        ({"mask_propotion": 0.1}, "mask_proportion"),
        ({"mask_proportion": 1.5}, "task.mask_proportion must be from 0 to 1"),
        ({"loss": "L2"}, "L1, MSE"),
        ({"mask_consecutive_min": 9}, r"mask_consecutive_min \(9\) is above mask_consecutive_max \(7\)"),
    ],
)
def test_mistakes_in_the_task_are_named(block, told):
    with pytest.raises(UserError, match=told):
        typed(Task, block, "config.upstream_config.task")


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"mask_allow_overlap": False},
        {"mask_consecutive_min": 3, "mask_consecutive_max": 12},
        {"mask_frequency": 0.2},
        {"mask_proportion": 0, "mask_frequency": 0.2},
    ],
    ids=str,
)
def test_as_much_is_counted_and_changed_as_in_the_public_package(changed):
    place = public_package_or_skip() / "pretrain" / "mockingjay" / "task.py"
    spec = importlib.util.spec_from_file_location("public_masked_task", place)
    public = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(public)
    random.seed(0)
    torch.manual_seed(0)
    frames, draws = [120, 61, 20], 400
    task = Task(**changed)
    fields = {**dataclasses.asdict(task), "position_encoding_size": 2}
    given = features(frames)
    theirs = torch.zeros(3, 2)
    for _ in range(draws):
        for number, valid in enumerate(frames):
            one = given[number : number + 1, :valid].clone()
            altered, _, counted, _, target = public.generate_masked_acoustic_model_data((one,), fields)
            for each in range(len(counted)):  # none where nothing is masked
                theirs[number] += torch.stack([counted[each].sum(), (altered[each] != target[each]).sum()])
    repeated, altered = altered_often(task, draws, frames)
    counted = (altered.times[..., None] | altered.dims[:, None]) & altered.valid[..., None]
    ours = torch.stack([counted.sum((1, 2)), (altered.features != repeated).sum((1, 2))], 1)
    cells = torch.tensor(frames)[:, None] * DIM * draws
    torch.testing.assert_close(ours.view(draws, 3, 2).sum(0) / cells, theirs / cells, rtol=0.1, atol=0.01)
