"""The checker of configurations: mistakes are named, good values are converted."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest

from s3prl.utility.errors import UserError
from s3prl.utility.typed import above, at_least, checked, typed, within


@dataclass
class Inner:
    size: int = 1


@dataclass
class Settings:
    root: str
    batch_size: Annotated[int, at_least(1)] = 16
    lr: Annotated[float, above(0)] = 1e-3
    style: Literal["drop", "concat"] = "drop"
    warmup: Annotated[float, within(0, 1)] | None = None
    flag: bool = False
    dims: list[int] = field(default_factory=list)
    betas: tuple[float, float] = (0.9, 0.999)
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self):
        if self.root == "/":
            raise UserError("root may not be the whole disk.")


def test_good_values_are_taken_and_text_of_numbers_is_converted():
    block = {"root": "data", "batch_size": "4", "lr": "1e-2", "flag": "True", "dims": (1, 2), "betas": [0, 1]}
    settings = typed(Settings, block | {"inner": {"size": 3.0}}, "config.task")
    assert settings == Settings("data", 4, 0.01, flag=True, dims=[1, 2], betas=(0.0, 1.0), inner=Inner(3))
    assert isinstance(settings.batch_size, int) and isinstance(settings.inner.size, int)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batchsize": 4}, "config.task has no field 'batchsize'. Did you mean 'batch_size'"),
        ({"root": None}, "config.task needs the field 'root'"),
        ({"batch_size": 0}, "config.task.batch_size must be at least 1, not 0"),
        ({"batch_size": 1.5}, "config.task.batch_size must be a whole number, not 1.5"),
        ({"batch_size": True}, "config.task.batch_size must be a whole number, not True"),
        ({"lr": "fast"}, "config.task.lr must be a number, not 'fast'"),
        ({"lr": 0}, "config.task.lr must be above 0"),
        (
            {"style": "concatt"},
            "config.task.style: concatt is not one of drop, concat. Did you mean 'concat'",
        ),
        ({"warmup": 2}, "config.task.warmup must be from 0 to 1"),
        ({"flag": "perhaps"}, "config.task.flag must be true or false"),
        ({"dims": "12"}, "config.task.dims must be a list"),
        ({"dims": [1, "a"]}, r"config.task.dims\[1\] must be a whole number"),
        ({"betas": [0.9]}, "config.task.betas takes 2 values, not 1"),
        ({"inner": {"sise": 1}}, "config.task.inner has no field 'sise'. Did you mean 'size'"),
        ({"inner": 3}, "config.task.inner must be a section with fields"),
        ({"root": "/"}, "config.task: root may not be the whole disk"),
    ],
)
def test_a_mistake_names_field_value_and_nearest_name(change, message):
    with pytest.raises(UserError, match=message):
        typed(Settings, {"root": "data", **change}, "config.task")


def test_fields_of_other_programs_can_be_passed_over():
    assert typed(Settings, {"root": "a", "seed": 1}, "file", ignore_unknown=True) == Settings("a")


def test_a_class_takes_its_first_arguments_from_the_caller():
    class Layer:
        def __init__(self, size: int, dims: Sequence[int], module: Literal["LSTM", "GRU"] = "LSTM"):
            self.all = (size, list(dims), module)

    assert typed(Layer, {"dims": [1], "module": "GRU"}, "model", 5).all == (5, [1], "GRU")
    assert checked(Layer, {"dims": [2]}, "model", skip=1) == {"dims": [2]}
    with pytest.raises(UserError, match="model has no field 'size'"):
        typed(Layer, {"dims": [1], "size": 2}, "model", 5)


def test_whole_numbers_are_exact_however_long():
    for size in (2**60 + 1, 10**400):
        assert typed(Inner, {"size": size}, "a").size == size
    with pytest.raises(UserError, match=r"a\.lr must be a number"):
        typed(Settings, {"root": "x", "lr": 10**400}, "a")
