"""A resumed run whose config has changed: what its optimizer and schedule take from the checkpoint."""

from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from s3prl.utility.differences import differences, told
from s3prl.utility.errors import UserError

from .checkpoint import usable
from .optimizers import get_optimizer
from .plan import Shard

NAMES = ("optimizer.name", "optimizer.torch_optim_name")
ONLY_AT_START = {"Adagrad": "initial_accumulator_value", "Rprop": "lr"}  # no update reads them again
KEEP = "Keep it as it was, or start a new run from the weights: -i {where} with another -n."

Changes = dict[str, tuple[Any, Any]]


def changed_fields(state: dict[str, Any], settings: dict[str, Any]) -> Changes:
    """Fields of the config that optimizer and schedule depend on, where they differ: before and now.

    Args:
        state: a checkpoint; one without a config counts as unchanged.
        settings: what a checkpoint of now would hold beside the state of the training.
    """
    before, now = state.get("Config"), settings.get("Config")
    if not before or not now:
        return {}
    return {
        name: values
        for name, values in differences(before, now).items()
        if name.split(".")[0] in ("optimizer", "scheduler") or name == "runner.total_steps"
    }


def check_moments_fit(
    optimizer: Optimizer, saved: dict[str, Any], changed: Changes, config: dict[str, Any], where: str
) -> None:
    """Refuse a changed optimizer that cannot go on from the saved moments.

    Args:
        optimizer: of the config, newly built.
        saved: the state of the run's optimizer.
        config: the block `optimizer`.

    Raises:
        UserError: another optimizer, other parameters, moments that the run did not keep, or a field that
            only counts at the start.
    """
    with usable("Optimizer", where):
        sizes = [
            [len(group["params"]) for group in groups]
            for groups in (saved["param_groups"], optimizer.param_groups)
        ]
        kept = {name for values in saved["state"].values() for name in values}
    for name in NAMES:
        if name in changed:
            before, now = map(told, changed[name])
            raise UserError(
                f"config.{name}: the run was trained with {before}, and {now} cannot go on from its saved "
                f"state. {KEEP.format(where=where)}"
            )
    if sizes[0] != sizes[1]:
        raise UserError(
            f"{where}: its 'Optimizer' is about {sum(sizes[0])} parameters in {len(sizes[0])} group(s), but "
            f"{sum(sizes[1])} in {len(sizes[1])} are trained now. Train what the run trained, or start a new "
            f"run from its weights: -i {where} with another -n."
        )
    own = {name.removeprefix("optimizer.") for name in changed if name.startswith("optimizer.")}
    if not own or not kept:
        return
    useless = own & {ONLY_AT_START.get(type(optimizer).__name__)}
    if useless:
        raise UserError(
            f"config.optimizer.{useless.pop()}: {type(optimizer).__name__} reads it only at the start of a "
            f"run. {KEEP.format(where=where)}"
        )
    missing = sorted(_moments(config, optimizer.param_groups[0]["params"][0].device) - kept)
    if missing:
        raise UserError(
            f"config.optimizer: with {', '.join(f'{name}={told(config.get(name))}' for name in sorted(own))} "
            f"an update needs '{missing[0]}', which the run did not keep. {KEEP.format(where=where)}"
        )


def move_schedule(scheduler: LambdaLR, step: int) -> None:
    """Move a newly built schedule from its start to where it is after `step` updates, rates included."""
    state = scheduler.state_dict()
    place = scheduler.last_epoch + step
    rates = [base * rule(place) for base, rule in zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)]
    for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    moved = {"last_epoch": place, "_step_count": scheduler._step_count + step, "_last_lr": rates}
    scheduler.load_state_dict({**state, **moved})


def check_global_batch(state: dict[str, Any], shard: Shard) -> None:
    """Raise a UserError unless a checkpoint's run had global batches of as many micro-batches as now."""
    before = state.get("WorldSize") or 1
    accumulated = state.get("Accumulate") or _saved_accumulation(state, shard.accumulate)
    if before * accumulated == shard.parts:
        return
    if before == shard.world_size:
        raise UserError(
            f"config.runner.gradient_accumulate_steps: the run has {accumulated}, now it is "
            f"{shard.accumulate}, which changes the global batch. Leave it at {accumulated}, or keep the "
            "product of processes and gradient_accumulate_steps."
        )
    raise UserError(
        f"The run was trained by {before} process(es), now there are {shard.world_size}, which "
        f"changes the global batch. Launch {before} (torchrun --nproc_per_node {before}), or keep "
        "the product of processes and gradient_accumulate_steps with "
        '-o "config.runner.gradient_accumulate_steps=…".'
    )


def _saved_accumulation(state: dict[str, Any], otherwise: int) -> int:
    """`gradient_accumulate_steps` of a run whose checkpoint has only its config."""
    runner = (state.get("Config") or {}).get("runner")
    return (runner.get("gradient_accumulate_steps") or 1) if isinstance(runner, dict) else otherwise


def _moments(config: dict[str, Any], device: torch.device) -> set[str]:
    """What the optimizer of a config remembers of every parameter, found out on a single weight."""
    layer = torch.nn.Linear(1, 1, bias=False).to(device)
    layer.weight.grad = torch.zeros_like(layer.weight)
    optimizer = get_optimizer([layer], 1, config)
    optimizer.step()
    return {name for values in optimizer.state.values() for name in values}
