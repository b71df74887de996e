"""The one checker of configurations: a block of YAML, and the dataclass or function that it is meant for.

    @dataclass
    class DataSettings:
        root: str
        batch_size: Annotated[int, at_least(1)] = 16
        style: Literal["drop", "concat"] = "drop"

    settings = typed(DataSettings, config["datarc"], "downstream_expert.datarc")

A mistake is a UserError that names the field, its value and the nearest valid name. Numbers may stand as text
(`1e-3` is text in YAML 1.1, and older checkpoints hold `"True"`).
"""

import inspect
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, is_dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from s3prl.utility.config import check_fields, nearest
from s3prl.utility.errors import UserError

Kind = TypeVar("Kind")
TRUTHS = {"true": True, "false": False}
NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


@dataclass(frozen=True)
class Bound:
    """A condition on a value, for `Annotated[float, Bound(...)]`."""

    holds: Callable[[Any], bool]
    words: str  # behind "must be"


def at_least(low: float) -> Bound:
    """A number of `low` or more."""
    return Bound(lambda value: value >= low, f"at least {low}")


def above(low: float) -> Bound:
    """A number greater than `low`."""
    return Bound(lambda value: value > low, f"above {low}")


def within(low: float, high: float) -> Bound:
    """A number from `low` to `high`, both included."""
    return Bound(lambda value: low <= value <= high, f"from {low} to {high}")


DROPOUT = Bound(lambda rate: 0 <= rate < 1, "from 0 to below 1")


def typed(
    kind: Callable[..., Kind],
    block: Mapping[str, Any] | None,
    where: str,
    *given: Any,
    ignore_unknown: bool = False,
) -> Kind:
    """`kind(*given, **block)` after checking every field of the block against the signature of `kind`.

    Args:
        kind: a dataclass, another class or a function; its annotations say what each field takes.
        block: the fields; None is an empty block.
        where: how to name the block in an error, such as `config.runner`; `path/of.yaml:` for a whole file.
        given: what `kind` takes first and the block does not hold.
        ignore_unknown: pass over fields that `kind` does not know.

    Raises:
        UserError: a field is unknown, missing, of the wrong type or impossible; or `kind` itself raises one.
    """
    fields = checked(kind, block, where, skip=len(given), ignore_unknown=ignore_unknown)
    try:
        return kind(*given, **fields)
    except UserError as error:
        text = str(error)
        raise UserError(text if where in text else f"{where.removesuffix(':')}: {text}") from None


def checked(
    kind: Callable[..., Any],
    block: Mapping[str, Any] | None,
    where: str,
    skip: int = 0,
    ignore_unknown: bool = False,
) -> dict[str, Any]:
    """The fields of a block, converted to the types that `kind` declares; see `typed`.

    Args:
        skip: parameters at the front of `kind` that are no fields.
    """
    block = {} if block is None else checked_mapping(block, where)
    hints = get_type_hints(kind if is_dataclass(kind) else _function(kind), include_extras=True)
    parameters = [
        parameter
        for parameter in list(inspect.signature(kind).parameters.values())[skip:]
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    names = [parameter.name for parameter in parameters]
    if not ignore_unknown:
        check_fields(block, names, where)
    between = " " if where.endswith(":") else "."
    missing = [p.name for p in parameters if p.default is p.empty and block.get(p.name) is None]
    if missing:
        raise UserError(f"{where} needs the field '{missing[0]}'. Its fields: {', '.join(names)}.")
    return {
        name: check_value(block[name], hints.get(name, Any), f"{where}{between}{name}")
        for name in names
        if name in block
    }


def check_value(value: Any, hint: Any, where: str) -> Any:
    """`value` as the type `hint`: of plain types, Literal, lists, tuples, dicts, unions or dataclasses.

    Raises:
        UserError: names the place, what it takes and what it holds.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        inner, *bounds = arguments
        return _bounded(check_value(value, inner, where), bounds, where)
    if origin in (Union, types.UnionType):
        return _one_of(value, arguments, where)
    if origin is Literal:
        return choice(value, arguments, where)
    if origin in (list, tuple, Sequence, set):
        return _sequence(value, origin, arguments, where)
    if is_dataclass(hint):
        return value if isinstance(value, hint) else typed(hint, value, where)
    if hint in NAMES:
        return _plain(value, hint, where)
    if hint is dict or origin is dict:
        _, inner = arguments or (Any, Any)
        return {
            key: check_value(one, inner, f"{where}.{key}")
            for key, one in checked_mapping(value, where).items()
        }
    return value


def choice(value: Any, choices: Iterable[Any], where: str) -> Any:
    """`value` if it is one of `choices`; a UserError names the nearest otherwise."""
    choices = list(choices)
    for candidate in choices:
        if value == candidate and isinstance(value, bool) == isinstance(candidate, bool):
            return candidate
    listed = ", ".join(map(str, choices))
    raise UserError(f"{where}: {value} is not one of {listed}.{nearest(str(value), choices)}")


def truth(value: Any, where: str) -> bool:
    """True or False, also as the text of one; raises a UserError for anything else."""
    known = TRUTHS.get(str(value).lower())
    if known is None:
        raise UserError(f"{where} must be true or false, not {value!r}.")
    return known


def checked_mapping(value: Any, where: str) -> dict:
    """`value` if it is a section with fields; raises a UserError otherwise."""
    if not isinstance(value, Mapping):
        raise UserError(f"{where} must be a section with fields (`name: value`), not {value!r}.")
    return dict(value)


def _function(kind: Callable[..., Any]) -> Callable[..., Any]:
    return kind.__init__ if isinstance(kind, type) else kind


def _plain(value: Any, kind: type, where: str) -> Any:
    if kind is bool:
        return truth(value, where)
    if isinstance(value, kind) and not isinstance(value, bool):
        return value
    if kind is not str and isinstance(value, int | float | str) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):
            number = float(value)
            if kind is float or number.is_integer():
                return kind(number)
    raise UserError(f"{where} must be {NAMES[kind]}, not {value!r}.")


def _bounded(value: Any, bounds: Sequence[Any], where: str) -> Any:
    for bound in bounds:
        if isinstance(bound, Bound) and value is not None and not bound.holds(value):
            raise UserError(f"{where} must be {bound.words}, not {value!r}.")
    return value


def _one_of(value: Any, hints: tuple, where: str) -> Any:
    """The first of several types that the value fits; the error is that of the first."""
    if value is None and type(None) in hints:
        return None
    errors = []
    for hint in (hint for hint in hints if hint is not type(None)):
        try:
            return check_value(value, hint, where)
        except UserError as error:
            errors.append(error)
    raise errors[0]


def _sequence(value: Any, origin: type, arguments: tuple, where: str) -> Any:
    if isinstance(value, str) or not isinstance(value, Sequence | set):
        raise UserError(f"{where} must be a list, not {value!r}.")
    repeated = origin is not tuple or (len(arguments) == 2 and arguments[1] is Ellipsis)
    if not repeated and len(value) != len(arguments):
        raise UserError(f"{where} takes {len(arguments)} values, not {len(value)}: {value!r}.")
    hints = [arguments[0] if arguments else Any] * len(value) if repeated else arguments
    items = [
        check_value(item, hint, f"{where}[{index}]")
        for index, (item, hint) in enumerate(zip(value, hints, strict=True))
    ]
    return items if origin is Sequence else origin(items)
