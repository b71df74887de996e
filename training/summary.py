"""What a training run says of itself at its beginning and at its end."""

import shlex

from torch import nn
from torch.utils.data import DataLoader

from s3prl.utility.commands import command_line, tensorboard_command
from s3prl.utility.results import BEST, JSONL, best_of

from .head import Head
from .job import Job
from .plan import Shard
from .report import draw_curves


def opening(job: Job, loader: DataLoader, shard: Shard, epoch_updates: int | None) -> list[str]:
    """Lines on models, data and batches.

    Args:
        loader: of the training set.
        epoch_updates: updates in an epoch; None where it is unknown.
    """
    return [_parameters(job), *job.describe(loader), _batch(job, loader, shard, epoch_updates)]


def _parameters(job: Job) -> str:
    """`[Parameters] trained: Downstream 42.6M | frozen: Upstream 94.4M | none: Featurizer`."""
    groups: dict[str, list[str]] = {"trained": [], "frozen": [], "none": []}
    for name, model in job.models.items():
        total, trained = _count(model), _count(model, trained=True) if name in job.trained else 0
        if not total:
            groups["none"].append(name)
        elif not trained:
            groups["frozen"].append(f"{name} {short(total)}")
        else:
            of_all = "" if trained == total else f" of {short(total)}"
            groups["trained"].append(f"{name} {short(trained)}{of_all}")
    named = [f"{group}: {', '.join(members)}" for group, members in groups.items() if members]
    return f"[Parameters] {' | '.join(named)}"


def _count(model: nn.Module, trained: bool = False) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trained)


def short(count: int) -> str:
    """`13`, `5.12k`, `42.6M`, `1.02G`: three digits of a number of things."""
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= 0.9995 * size:
            return f"{float(f'{count / size:.3g}'):g}{letter}"
    return str(count)


def _batch(job: Job, loader: DataLoader, shard: Shard, epoch_updates: int | None) -> str:
    """`[Batch] 16 x 2 processes x 4 accumulation steps = 128 per update, 223 updates per epoch, on cuda`."""
    size = getattr(loader.batch_sampler, "batch_size", None)
    factors = [
        _plural(shard.world_size, "process", "es"),
        _plural(shard.accumulate, "accumulation step", "s"),
    ]
    if isinstance(size, int):
        factors = [str(size), *factors]
        total = f" = {size * shard.parts} per update"
    else:
        total = f" = {_plural(shard.parts, 'batch', 'es')} per update"
    epoch = "" if epoch_updates is None else f", {_plural(epoch_updates, 'update', 's')} per epoch"
    return f"[Batch] {' x '.join(factors)}{total}{epoch}, on {job.device}"


def _plural(count: int, noun: str, ending: str) -> str:
    return f"{count} {noun}{ending if count != 1 else ''}"


def closing(job: Job, head: Head) -> str:
    """Where everything is, the best score, and the command that evaluates it; the curves are drawn."""
    folder = job.expdir
    kept = sorted(path.name for path in folder.glob("*.ckpt"))
    skipped = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in head.counters.items() if count)
    text = f"Trained to step {head.step}. Checkpoints in {folder}: {', '.join(kept)}."
    lines = [text + (f" Skipped updates: {skipped}." if skipped else "")]
    pictures = draw_curves(folder) if job.settings.draw_curves else []
    places = [*map(str, pictures), f"numbers in {folder / JSONL}"]
    if shown := tensorboard_command(folder):
        places.append(f"or: {shown}")
    lines.append(f"Curves: {', '.join(places)}.")
    best = best_of(folder)
    if best is not None and best.declared:
        metric, where = best.metric, f" ({BEST})" if BEST in kept else ""
        lines.append(f"Best {metric.name} on {metric.split}: {best.score:.4g} at step {best.step}{where}.")
    lines += [*evaluation_advice(job), *job.advice()]
    return "\n".join(f"[Runner] {line}" for line in lines)


def evaluation_advice(job: Job) -> list[str]:
    """A line with the command that evaluates the best checkpoint; none where there is none."""
    path = job.expdir / BEST
    if not path.is_file():
        return []
    best = best_of(job.expdir)
    evaluated = job.test_split() or (best.metric.split if best is not None else "SPLIT")
    return [
        f"Evaluate it: {command_line('evaluate')} -t {shlex.quote(evaluated)} -e {shlex.quote(str(path))}"
    ]
