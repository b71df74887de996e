"""The one loader of weights into a model: names and shapes must fit, and an error names those that do not."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from torch import nn

from s3prl.utility.errors import UserError

NAMED = 5  # names that an error lists before it counts the rest


def load_weights(
    model: nn.Module,
    weights: Mapping[str, Any],
    where: str,
    ignore_unknown: bool = False,
    assign: bool = False,
    advice: str = "The file belongs to another model, or was changed.",
    keep: Collection[str] = (),
) -> None:
    """Load a state dict whose names and shapes must be exactly those of `model`.

    Args:
        where: how to name the origin of the weights in an error.
        ignore_unknown: pass over weights that the model does not have.
        assign: make the tensors those of the model, which may still be on the meta device.
        advice: the last sentence of the error.
        keep: names whose values stay those of the model, whether or not the state dict has them.

    Raises:
        UserError: names the weights that are missing, unknown, or of another shape.
    """
    own = model.state_dict()
    faults = {
        "lacks": [name for name in own if name not in weights and name not in keep],
        "has unknown": [name for name in weights if name not in own and not ignore_unknown],
        "has another shape of": [
            f"{name} {_shape(weights[name])} instead of {_shape(value)}"
            for name, value in own.items()
            if name in weights and name not in keep and _shape(weights[name]) != _shape(value)
        ],
    }
    told = [f"it {fault} {listed(names)}" for fault, names in faults.items() if names]
    if told:
        raise UserError(
            f"The weights in {where} do not fit the {type(model).__name__} built for them: "
            f"{'; '.join(told)}. {advice}"
        )
    model.load_state_dict(
        {name: value if name in keep else weights[name] for name, value in own.items()}, assign=assign
    )


def listed(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    names = list(map(str, names))
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _shape(value: Any) -> list[int] | str:
    """The shape of a tensor; a module may also keep other state, which has none."""
    return list(value.shape) if hasattr(value, "shape") else "of no shape"
