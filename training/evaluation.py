"""Evaluating one split: on all processes where the job allows it, with the result of one process."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from itertools import chain
from typing import Any, NamedTuple

import torch

from s3prl.utility import processes
from s3prl.utility.device import is_out_of_memory
from s3prl.utility.errors import UserError
from s3prl.utility.progress import followed

from .checkpoint import plain
from .job import Job, Records
from .plan import Shard
from .randomness import isolated_randomness, mixed_seed, seed_generators
from .report import MetricLogger
from .sampling import Loaded, evaluation_batches


class _Part(NamedTuple):
    """What one process found out."""

    records: Records
    ends: list[tuple[int, dict[str, int]]]  # (number of a batch, lengths of the records behind it), in order
    notes: list[Any]  # of dropped items
    finished: int = 0  # items that an earlier try has computed


class Judged(NamedTuple):
    """A job whose models are evaluated, and where its metrics go."""

    job: Job
    logger: MetricLogger
    step: int  # of its training


def evaluate(job: Job, split: str, logger: MetricLogger, step: int) -> list[str]:
    """Run a split with fixed randomness; the random state and mode of training are left untouched.

    Every process must call it. Each batch is computed by one process, from a random state that depends on the
    number of the batch alone, and the records are put together in the order of the batches.

    Returns:
        Names of checkpoints that the job wants saved now; an empty list except on the first process.

    Raises:
        UserError: the split has no item that can be used, or memory ran out.
    """
    return evaluate_together([Judged(job, logger, step)], split)[0]


def evaluate_together(judged: Sequence[Judged], split: str) -> list[list[str]]:
    """`evaluate` for each of several jobs, on batches that the first of them loads and encodes for all."""
    first = judged[0].job
    sharded = first.shards_evaluation and processes.world_size() > 1
    were_training = [model for job, *_ in judged for model in job.models.values() if model.training]
    for job, *_ in judged:
        for model in job.models.values():
            model.eval()
    names: list[list[str]] = [[] for _ in judged]
    try:
        with isolated_randomness(first.seed), torch.no_grad(), first.autocast():
            if sharded or processes.is_leader():
                shard = Shard(processes.world_size(), processes.rank()) if sharded else Shard()
                own = _run([job for job, *_ in judged], split, shard)
                gathered = processes.gather(list(map(_movable, own))) if sharded else [own]
                if processes.is_leader():
                    every = zip(judged, zip(*gathered, strict=True), strict=True)
                    names = [_report(one, split, parts) for one, parts in every]
    finally:
        for model in were_training:
            model.train()
    processes.wait()
    return names


def _run(jobs: Sequence[Job], split: str, shard: Shard) -> list[_Part]:
    """What this process finds out about each of the jobs."""
    first = jobs[0]
    ratio = first.settings.evaluate_ratio
    ready, prepare = first.ready(split), first.prepare
    loader = first.loader(split)
    total, batches = evaluation_batches(loader, first.seed, shard, ratio, prepare, ready)
    finished = getattr(loader.dataset, "finished", 0)
    found = [_Part(defaultdict(list), [], [], finished) for _ in jobs]
    shown = processes.is_leader()
    with closing(batches):
        for loaded in followed(batches, total, split, "batches", shown=shown, leave=False, on_stdout=True):
            number = loaded.key.position
            if loaded.notes:
                for job, part in zip(jobs, found, strict=True):
                    job.note_dropped(loaded.notes)
                    part.notes.extend(loaded.notes)
            if loaded.batch is None:
                continue
            seed = mixed_seed("evaluation", first.seed, number)
            _compute(jobs, split, loaded, seed, [part.records for part in found])
            for part in found:
                part.ends.append((number, {name: len(values) for name, values in part.records.items()}))
    return found


def _compute(jobs: Sequence[Job], split: str, loaded: Loaded, seed: int, records: list[Records]) -> None:
    first = jobs[0]
    try:
        seed_generators(seed)
        encoded = first.encode(loaded.batch)
        for job, own in zip(jobs, records, strict=True):
            if job is not first:
                seed_generators(seed)
            job.loss(split, encoded, own, batch_id=loaded.key.position)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise UserError(
                f"Out of memory while evaluating {split}, at a batch of {first.describe_latest()}. "
                f"Lower the evaluation batch size ({first.data_section})."
            ) from error
        raise


def _movable(part: _Part) -> _Part:
    return part._replace(records={name: plain(values) for name, values in part.records.items()})


def _report(judged: Judged, split: str, parts: Sequence[_Part]) -> list[str]:
    job, logger, step = judged
    notes = list(chain.from_iterable(part.notes for part in parts))
    job.report_dropped(split, notes)
    batch_ids = sorted(number for part in parts for number, _ in part.ends)
    if not batch_ids and not parts[0].finished:
        reason = "none of them can be read" if notes else "there is none"
        raise UserError(
            f"The split '{split}' has no utterance to evaluate: {reason}. Check the config's paths."
        )
    records = parts[0].records if len(parts) == 1 else _joined(parts)
    seed_generators(mixed_seed("report", job.seed))  # whichever batch, of whichever job, was computed last
    return job.report(split, records, logger, step, batch_ids, len(batch_ids))


def _joined(parts: Sequence[_Part]) -> Records:
    """The records of all processes in the order of the batches, as one process would have made them."""
    slices: list[tuple[int, Records, dict[str, int], dict[str, int]]] = []
    for part in parts:
        begin: dict[str, int] = {}
        for number, end in part.ends:
            slices.append((number, part.records, begin, end))
            begin = end
    joined: Records = defaultdict(list)
    for _, records, begin, end in sorted(slices, key=lambda one: one[0]):
        for name, stop in end.items():
            joined[name].extend(records[name][begin.get(name, 0) : stop])
    return joined
