"""In which fields two configurations differ."""

from typing import Any

LONGEST = 60  # characters of a value in a message


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


MISSING = _Missing()


def differences(before: Any, now: Any) -> dict[str, tuple[Any, Any]]:
    """The fields with another value, by their dotted names: `{"optimizer.lr": (0.001, 0.01)}`.

    A field that one of the two lacks is `MISSING` there, and equal to None. Lists are compared as a whole,
    and a number equals its text (`1e-3` is text in YAML 1.1).
    """
    found: dict[str, tuple[Any, Any]] = {}
    _compare(before, now, (), found)
    return found


def told(value: Any) -> str:
    """A value as a message shows it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def is_within(field: str, sections: set[str]) -> bool:
    """Whether a dotted field is one of `sections`, lies inside of one, or holds one."""
    return any(
        field == section or field.startswith(f"{section}.") or section.startswith(f"{field}.")
        for section in sections
    )


def _compare(before: Any, now: Any, names: tuple[str, ...], found: dict[str, tuple[Any, Any]]) -> None:
    sides = [{} if side is None or side is MISSING else side for side in (before, now)]
    if (isinstance(before, dict) or isinstance(now, dict)) and all(isinstance(side, dict) for side in sides):
        one, other = ({str(key): value for key, value in side.items()} for side in sides)
        for key in dict.fromkeys([*one, *other]):
            _compare(one.get(key, MISSING), other.get(key, MISSING), (*names, key), found)
    elif _comparable(before) != _comparable(now):
        found[".".join(names)] = (before, now)


def _comparable(value: Any) -> Any:
    """Equal for values that mean the same."""
    if value is None or value is MISSING:
        return "None"
    if isinstance(value, (list, tuple)):
        return [_comparable(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _comparable(item) for key, item in value.items()}
    if isinstance(value, int):
        return str(int(value))
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    return str(int(number)) if number.is_integer() else repr(number)
