"""The `-o` option: `config.optimizer.lr=1e-3,,args.seed=7`, parsed as literals, never evaluated as code."""

import argparse
import ast
import re
import sys
from contextlib import suppress
from typing import Any

import yaml

from s3prl.utility.config import MOST_DIGITS, UnfitValue, nearest, parse_yaml
from s3prl.utility.errors import UserError
from s3prl.utility.launcher import is_first

LITERAL_ERRORS = (ValueError, SyntaxError, TypeError, MemoryError, RecursionError)
QUOTES = "'\""
OPENING, CLOSING = "[{(", "]})"
FIELD = re.compile(r"^\+?(args|config)(\.[\w-]+)+$")

HELP = (
    "Write it as args.NAME=value or config.A.B=value, several separated by two commas, "
    "for example -o \"config.optimizer.lr=1e-3,,config.optimizer.name='AdamW',,args.seed=7\"."
)


def split_options(text: str, separator: str = ",,") -> list[str]:
    """Cut at every separator that is outside quotes and brackets; blanks and newlines around an option go."""
    parts, start, depth, quote, position = [], 0, 0, "", 0
    while position < len(text):
        char = text[position]
        if quote:
            if char == "\\":
                position += 1
            elif char == quote:
                quote = ""
        elif char in QUOTES and (position == start or not text[position - 1].isalnum()):
            quote = char
        elif char in OPENING:
            depth += 1
        elif char in CLOSING:
            depth -= 1
        elif depth <= 0 and text.startswith(separator, position):
            parts.append(text[start:position])
            position += len(separator) - 1
            start = position + 1
        position += 1
    parts.append(text[start:])
    return [part.strip() for part in parts if part.strip()]


def parse_value(text: str) -> Any:
    """A Python literal, else a YAML scalar, else the text itself.

    A quoted list or dict is unwrapped: some published commands write `"['dev', 'test']"`.

    Raises:
        UserError: no config can hold it.
    """
    text = text.strip()
    try:
        value = ast.literal_eval(text)
    except LITERAL_ERRORS:
        return _yaml_value(text)
    if isinstance(value, str) and value.strip()[:1] in ("[", "{", "("):
        with suppress(*LITERAL_ERRORS):
            value = ast.literal_eval(value.strip())
    return value if _is_plain(value) else text


def _is_plain(value: Any) -> bool:
    """Whether a literal is made of what configs hold; `...`, `1j` and b'x' are not. Raises UserError."""
    if isinstance(value, dict):
        return all(map(_is_plain, value)) and all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple | set):
        return all(map(_is_plain, value))
    if isinstance(value, int) and abs(value) >= 10**MOST_DIGITS:
        raise UserError(f"a number of more than {MOST_DIGITS} digits.")
    return value is None or isinstance(value, bool | int | float | str)


def _yaml_value(text: str) -> Any:
    try:
        value = parse_yaml(text)
    except UnfitValue as error:
        raise UserError(f"{error.problem}.") from error
    except yaml.YAMLError:
        return text
    return value if value is not None or text.lower() in ("null", "~", "none") else text


def parse_override(text: str | None) -> list[tuple[str, Any]]:
    """The (field, value) pairs of an override text, in order. `none` in any case means none.

    Raises:
        UserError: an option without `=`, or whose field is not `args.…` or `config.…`.
    """
    if text is None or text.strip().lower() == "none":
        return []
    pairs = []
    for option in split_options(text):
        field, equals, value = option.partition("=")
        field = field.strip()
        if not equals:
            raise UserError(f"-o: '{option}' has no '='. {HELP}")
        if not FIELD.match(field):
            raise UserError(f"-o: '{field}' is not a field. {HELP}")
        _, *others = split_options(value, ",")
        if any(FIELD.match(other.partition("=")[0].strip()) and "=" in other for other in others):
            raise UserError(f"-o: '{option}': put two commas between fields, not one. {HELP}")
        try:
            pairs.append((field, parse_value(value)))
        except UserError as error:
            raise UserError(f"-o: {field}: {error}") from error
    return pairs


def apply_override(
    text: str | None,
    args: argparse.Namespace,
    config: dict[str, Any],
    optional: dict[str, tuple[str, ...]] | None = None,
    tell: bool = True,
) -> None:
    """Set the fields of `text` in `args` and `config`, in place, and report each on stderr.

    Args:
        optional: config sections with the fields that exist even where the file does not name them.
        tell: False reports nothing.

    Raises:
        UserError: a field that exists neither in the config nor in `optional`; `+config.…` adds one.
    """
    for field, value in parse_override(text):
        adding = field.startswith("+")
        room, *names = field.lstrip("+").split(".")
        if room == "args":
            _set_argument(args, names, value)
        else:
            _set_config(config, names, value, adding, optional or {})
        if tell and is_first():
            print(f"[Override] - {field} = {value!r}", file=sys.stderr)


def _set_argument(args: argparse.Namespace, names: list[str], value: Any) -> None:
    if len(names) != 1:
        raise UserError(f"-o: args.{'.'.join(names)}: an argument has one name, as in args.seed=7.")
    if not hasattr(args, names[0]):
        raise UserError(f"-o: there is no argument 'args.{names[0]}'.{nearest(names[0], vars(args))}")
    setattr(args, names[0], value)


def _set_config(
    config: dict[str, Any], names: list[str], value: Any, adding: bool, optional: dict[str, tuple[str, ...]]
) -> None:
    place = config
    for depth, name in enumerate(names):
        path = ".".join(["config", *names[:depth]])
        if not isinstance(place, dict):
            raise UserError(f"-o: {path} is a value, not a section, so it has no field '{name}'.")
        known = {*map(str, place), *(optional.get(".".join(names[:depth]), ()))}
        if name not in known and not adding:
            raise UserError(
                f"-o: {path} has no field '{name}'.{nearest(name, known)} "
                f"It has: {', '.join(sorted(known)) or 'nothing'}. To add a new field, write "
                f"+config.{'.'.join(names)}=…"
            )
        key = next((old for old in place if str(old) == name), name)
        if depth == len(names) - 1:
            place[key] = value
        else:
            if place.get(key) is None:
                place[key] = {}
            place = place[key]
