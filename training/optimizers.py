"""Optimizers by the names of the 2021 configs, on PyTorch's fused kernels where their maths is the same.

The `*_with_schedule` ones follow BERT (Devlin et al. 2019) and LAMB (You et al. 2020) as the 2021 toolkit
did: a linear warm-up and decay inside, weight decay on everything but biases and `LayerNorm.weight`.
"""

import inspect
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from s3prl.utility.config import check_fields, nearest
from s3prl.utility.errors import UserError
from s3prl.utility.typed import at_least, checked, within

NO_DECAY = ("bias", "LayerNorm.weight")  # parts of parameter names
LR = 2e-4
WARMUP = 0.07  # of total_steps
IMPLEMENTATIONS = {"fused", "foreach", "capturable", "differentiable"}  # fields that choose how, not what
Positive = Annotated[float, at_least(0)]
Betas = tuple[Positive, Positive]


class _Schedule:
    """Linear warm-up to 1 over the first `warmup` of `total` updates, then linear decay to 0."""

    def __init__(self, total: int, warmup: float) -> None:
        if total < 1:
            raise UserError(f"runner.total_steps is {total}; an optimizer with a schedule needs at least 1.")
        self.total, self.warmup = total, warmup

    def __call__(self, update: int) -> float:
        progress = update / self.total
        if progress < self.warmup:
            return progress / self.warmup
        return max(0.0, (1 - progress) / (1 - self.warmup)) if progress < 1 else 0.0


class AdamWWithSchedule(torch.optim.AdamW):
    """AdamW with its own schedule; each group's `lr` stays the base rate, `get_lr` tells the scheduled one.

    The 2021 definition scales the step, weight decay included, by c = sqrt(1 - b2^n) / (1 - b1^n) and adds
    eps to the uncorrected root. That is PyTorch's AdamW with weight decay c * wd and eps / sqrt(1 - b2^n),
    so its fused kernel does the work.
    """

    def __init__(self, groups: list[dict], schedule: _Schedule, **defaults: Any) -> None:
        fused = _fused(param for group in groups for param in group["params"])
        super().__init__(groups, fused=fused, **defaults)
        self.schedule = schedule
        _count(self)

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        base = [(group["lr"], group["eps"], group["weight_decay"]) for group in self.param_groups]
        for group in self.param_groups:
            group["updates"] += 1
            beta1, beta2 = group["betas"]
            root = (1 - beta2 ** group["updates"]) ** 0.5
            group["lr"] *= self.schedule(group["updates"])
            group["eps"] /= root
            group["weight_decay"] *= root / (1 - beta1 ** group["updates"])
        try:
            return super().step(closure)
        finally:
            for group, (lr, eps, weight_decay) in zip(self.param_groups, base, strict=True):
                group.update(lr=lr, eps=eps, weight_decay=weight_decay)

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        _count(self)

    def get_lr(self) -> list[float]:
        """The rate of the latest update, one per parameter group; 0 before the first."""
        return [group["lr"] * self.schedule(group["updates"]) for group in self.param_groups]


class _ScheduledMoments(Optimizer):
    """What LAMB and BertAdam share: moments without bias correction, decay inside the update, a schedule."""

    first_update: int  # the number the schedule gives the first update

    def __init__(self, groups: Iterable[dict], schedule: _Schedule, **defaults: Any) -> None:
        super().__init__(groups, defaults)
        self.schedule = schedule
        _count(self)

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        _count(self)

    def get_lr(self) -> list[float]:
        """The rate of the latest update, one per parameter group; 0 before the first."""
        return [
            group["lr"] * self.schedule(group["updates"] - 1 + self.first_update) if group["updates"] else 0.0
            for group in self.param_groups
        ]

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group, lr in zip(self.param_groups, self._count_update(), strict=True):
            params = [param for param in group["params"] if param.grad is not None]
            if params:
                self._update(params, group, lr)
        return loss

    def _count_update(self) -> list[float]:
        for group in self.param_groups:
            group["updates"] += 1
        return self.get_lr()

    def _update(self, params: list[Tensor], group: dict, lr: float) -> None:
        for param in params:
            if not self.state[param]:
                self.state[param].update(exp_avg=torch.zeros_like(param), exp_avg_sq=torch.zeros_like(param))
        first = [self.state[param]["exp_avg"] for param in params]
        second = [self.state[param]["exp_avg_sq"] for param in params]
        grads = self._prepared([param.grad for param in params])
        beta1, beta2 = group["betas"]
        torch._foreach_mul_(first, beta1)
        torch._foreach_add_(first, grads, alpha=1 - beta1)
        torch._foreach_mul_(second, beta2)
        torch._foreach_addcmul_(second, grads, grads, value=1 - beta2)
        update = torch._foreach_sqrt(second)
        torch._foreach_add_(update, group["eps"])
        update = list(torch._foreach_div(first, update))
        if group["weight_decay"]:
            torch._foreach_add_(update, params, alpha=group["weight_decay"])
        self._scale(update, params)
        torch._foreach_add_(params, update, alpha=-lr)

    def _prepared(self, grads: list[Tensor]) -> list[Tensor]:
        return grads

    def _scale(self, update: list[Tensor], params: list[Tensor]) -> None:
        """Change `update` in place before the rate multiplies it."""


class Lamb(_ScheduledMoments):
    """LAMB: the update of every tensor is scaled by ||parameter|| / ||update||."""

    first_update = 1

    def _scale(self, update: list[Tensor], params: list[Tensor]) -> None:
        ratio = torch.stack(torch._foreach_norm(params)) / torch.stack(torch._foreach_norm(update))
        ratio[~(ratio.isfinite() & (ratio > 0))] = 1.0  # where a norm is 0, the plain step
        torch._foreach_mul_(update, ratio.unbind())


class BertAdam(_ScheduledMoments):
    """BERT's Adam: the gradient of every tensor is clipped to norm 1 on its own."""

    first_update = 0

    def _prepared(self, grads: list[Tensor]) -> list[Tensor]:
        factor = (1.0 / (torch.stack(torch._foreach_norm(grads)) + 1e-6)).clamp(max=1.0)
        return list(torch._foreach_mul(grads, factor.unbind()))


def get_optimizer(models: list[nn.Module], total_steps: int, config: dict[str, Any]) -> Optimizer:
    """The optimizer that the `optimizer` block of a config names, over the parameters that require gradients.

    `config` holds `name` and the fields of that optimizer. The `*_with_schedule` ones lay their schedule
    over `total_steps` updates, keep their position in the state dict, and tell the scheduled rate by
    `get_lr()`. Raises UserError for an unknown name or field, a value the optimizer refuses, or models
    with nothing to train.
    """
    name = config.get("name")
    if name not in BUILDERS:
        raise UserError(
            f"optimizer.name: there is no optimizer '{name}'.{nearest(str(name), BUILDERS)} "
            f"Valid names: {', '.join(BUILDERS)} (any other of torch.optim through TorchOptim)."
        )
    fields = {key: value for key, value in config.items() if key != "name"}
    build = BUILDERS[name]
    if build is not _torch_optim:
        fields = checked(build, fields, "optimizer", skip=2)
    params = _trainable(models)
    if not params:
        raise UserError("There is nothing to train: no parameter of the models requires a gradient.")
    try:
        optimizer = build(params, total_steps, **fields)
    except (TypeError, ValueError) as error:
        raise UserError(f"The optimizer block of the config was refused by {name}: {error}") from error
    optimizer.register_load_state_dict_pre_hook(_with_own_implementation)
    return optimizer


def _plain(cls: type[Optimizer], usual_eps: float) -> Callable[..., Optimizer]:
    """A builder of Adam or AdamW."""

    def build(
        params: dict[str, nn.Parameter],
        total_steps: int,
        lr: Positive = LR,
        betas: Betas = (0.9, 0.999),
        eps: Positive = usual_eps,
        weight_decay: Positive = 0.0,
        amsgrad: bool = False,
    ) -> Optimizer:
        tensors = list(params.values())
        return cls(tensors, lr, betas, eps, weight_decay, amsgrad, fused=_fused(tensors))

    return build


def _scheduled(cls: Callable[..., Optimizer], usual_eps: float) -> Callable[..., Optimizer]:
    """A builder of an optimizer with a schedule of its own."""

    def build(
        params: dict[str, nn.Parameter],
        total_steps: int,
        lr: Positive = LR,
        warmup_proportion: Annotated[float, within(0, 1)] = WARMUP,
        betas: Betas = (0.9, 0.999),
        eps: Positive = usual_eps,
        weight_decay: Positive = 0.01,
    ) -> Optimizer:
        schedule = _Schedule(total_steps, warmup_proportion)
        return cls(_decay_groups(params, weight_decay), schedule, lr=lr, betas=betas, eps=eps)

    return build


def _torch_optim(
    params: dict[str, nn.Parameter], total_steps: int, torch_optim_name: str = "", **fields: Any
) -> Optimizer:
    classes = {
        name: value
        for name, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, Optimizer) and value is not Optimizer
    }
    del classes["LBFGS"]  # evaluates the loss several times per update, which a loop over batches cannot
    if torch_optim_name not in classes:
        raise UserError(
            f"optimizer.torch_optim_name: there is no '{torch_optim_name}' in torch.optim that trains by "
            f"batches.{nearest(str(torch_optim_name), classes)} Valid names: {', '.join(sorted(classes))}."
        )
    cls = classes[torch_optim_name]
    valid = [name for name in inspect.signature(cls).parameters if name != "params"]
    check_fields(fields, valid, f"optimizer ({torch_optim_name})")
    fields = {key: _loosely(value) for key, value in fields.items()}
    tensors = list(params.values())
    if cls in (torch.optim.Adam, torch.optim.AdamW) and not fields.keys() & IMPLEMENTATIONS:
        fields["fused"] = _fused(tensors)
    return cls(tensors, **fields)


BUILDERS: dict[str, Callable[..., Optimizer]] = {
    "Adam": _plain(torch.optim.Adam, 1e-8),
    "AdamW": _plain(torch.optim.AdamW, 1e-7),
    "TorchOptim": _torch_optim,
    "BertAdam_with_schedule": _scheduled(BertAdam, 1e-6),
    "AdamW_with_schedule": _scheduled(AdamWWithSchedule, 1e-8),
    "Lamb_with_schedule": _scheduled(Lamb, 1e-8),
}


def hyperparameters(optimizer: Optimizer) -> list[dict[str, Any]]:
    """What a config sets in each parameter group: neither the parameters nor the place in a schedule."""
    return [
        {name: value for name, value in group.items() if name not in ("params", "updates")}
        for group in optimizer.param_groups
    ]


def _trainable(models: list[nn.Module]) -> dict[str, nn.Parameter]:
    """Parameters that require gradients, each once, under `<index of the model>.<its name there>`."""
    seen: set[nn.Parameter] = set()
    params = {}
    for index, model in enumerate(models):
        for name, param in model.named_parameters():
            if param.requires_grad and param not in seen:
                seen.add(param)
                params[f"{index}.{name}"] = param
    return params


def _decay_groups(params: dict[str, nn.Parameter], weight_decay: float) -> list[dict]:
    spared = {name for name in params if any(part in name for part in NO_DECAY)}
    return [
        {"params": [p for name, p in params.items() if name not in spared], "weight_decay": weight_decay},
        {"params": [p for name, p in params.items() if name in spared], "weight_decay": 0.0},
    ]


def _count(optimizer: Optimizer) -> None:
    """Give every group its position in the schedule; there, it travels with the state dict.

    A state dict of the public S3PRL has it in the state of every parameter instead.
    """
    for group in optimizer.param_groups:
        steps = [int(optimizer.state[param].get("step", 0)) for param in group["params"]]
        group.setdefault("updates", max(steps, default=0))


def _fused(params: Iterable[Tensor]) -> bool | None:
    """True where one fused kernel can update them all, also on a CPU; else PyTorch chooses."""
    kinds = {(param.device.type, param.is_floating_point()) for param in params}
    return True if kinds in ({("cpu", True)}, {("cuda", True)}) else None


def _with_own_implementation(optimizer: Optimizer, saved: dict[str, Any]) -> dict[str, Any]:
    """A state dict that keeps fused what is fused here, whatever its run had on its device and version."""
    own = {"fused": optimizer.defaults["fused"]} if "fused" in optimizer.defaults else {}
    return {**saved, "param_groups": [{**group, **own} for group in saved["param_groups"]]}


def _loosely(value: object) -> Any:
    """The value of a field of a torch.optim class: numbers that YAML left as text become numbers."""
    if isinstance(value, (list, tuple)):
        return tuple(_loosely(item) for item in value)
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
