"""Evaluating one split: on all processes where the job allows it, with the result of one process."""

from collections import defaultdict
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
from .randomness import isolated_randomness, mixed_seed, seed_generators
from .report import MetricLogger
from .sampling import Loaded, Shard, evaluation_batches


class _Part(NamedTuple):
    """What one process found out."""

    records: Records
    ends: list[tuple[int, dict[str, int]]]  # (number of a batch, lengths of the records behind it), in order
    notes: list[Any]  # of dropped items


def evaluate(job: Job, split: str, logger: MetricLogger, step: int) -> list[str]:
    """Run a split with fixed randomness; the random state and mode of training are left untouched.

    Every process must call it. Each batch is computed by one process, from a random state that depends on the
    number of the batch alone, and the records are put together in the order of the batches.

    Returns:
        Names of checkpoints that the job wants saved now; an empty list except on the first process.

    Raises:
        UserError: the split has no item that can be used, or memory ran out.
    """
    sharded = job.shards_evaluation and processes.world_size() > 1
    were_training = [model for model in job.models.values() if model.training]
    for model in job.models.values():
        model.eval()
    names: list[str] = []
    try:
        with isolated_randomness(job.seed), torch.no_grad(), job.autocast():
            if sharded or processes.is_leader():
                shard = Shard(processes.world_size(), processes.rank()) if sharded else Shard()
                part = _run(job, split, shard)
                parts = processes.gather(_movable(part)) if sharded else [part]
                if processes.is_leader():
                    names = _report(job, split, parts, logger, step)
    finally:
        for model in were_training:
            model.train()
    processes.wait()
    return names


def _run(job: Job, split: str, shard: Shard) -> _Part:
    ratio = job.settings.evaluate_ratio
    total, batches = evaluation_batches(job.loader(split), job.seed, shard, ratio, job.prepare)
    part = _Part(defaultdict(list), [], [])
    shown = processes.is_leader()
    with closing(batches):
        for loaded in followed(batches, total, split, "batches", shown=shown, leave=False, on_stdout=True):
            number = loaded.key.position
            if loaded.notes:
                job.note_dropped(loaded.notes)
                part.notes.extend(loaded.notes)
            if loaded.batch is None:
                continue
            seed_generators(mixed_seed("evaluation", job.seed, number))
            _compute(job, split, loaded, part.records)
            part.ends.append((number, {name: len(values) for name, values in part.records.items()}))
    return part


def _compute(job: Job, split: str, loaded: Loaded, records: Records) -> None:
    try:
        job.loss(split, job.encode(loaded.batch), records, batch_id=loaded.key.position)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise UserError(
                f"Out of memory while evaluating {split}, at a batch of {job.describe_latest()}. "
                "Lower the evaluation batch size (config.downstream_expert)."
            ) from error
        raise


def _movable(part: _Part) -> _Part:
    return part._replace(records={name: plain(values) for name, values in part.records.items()})


def _report(job: Job, split: str, parts: list[_Part], logger: MetricLogger, step: int) -> list[str]:
    notes = list(chain.from_iterable(part.notes for part in parts))
    job.report_dropped(split, notes)
    batch_ids = sorted(number for part in parts for number, _ in part.ends)
    if not batch_ids:
        reason = "none of them can be read" if notes else "there is none"
        raise UserError(
            f"The split '{split}' has no utterance to evaluate: {reason}. Check the config's paths."
        )
    records = parts[0].records if len(parts) == 1 else _joined(parts)
    return job.report(split, records, logger, step, batch_ids, len(batch_ids))


def _joined(parts: list[_Part]) -> Records:
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
