"""YAML configuration files: safe, with numbers as people write them and one variable for the corpora."""

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import yaml

from s3prl.utility.errors import UserError

MOST_LEVELS, MOST_NODES, MOST_DIGITS = 50, 100_000, 100  # of a config: levels, values, digits of a number
TAG = "tag:yaml.org,2002:"
VARIABLE = re.compile(r"\$\{(\w+)\}")
DEFAULTS = {"S3PRL_CORPORA": "data"}


class UnfitValue(yaml.constructor.ConstructorError):
    """YAML that no config holds: it repeats a field, contains itself, is enormous, ..."""

    def __init__(self, problem: str, mark: yaml.Mark | None = None) -> None:
        super().__init__(None, None, problem, mark)


class _Loader(yaml.SafeLoader):
    """Safe YAML that reads `1e-3` as a float (YAML 1.1 calls it a string), and dates as text."""

    yaml_implicit_resolvers: ClassVar[dict[str, list]] = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != f"{TAG}timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    f"{TAG}float",
    re.compile(r"^[-+]?(\d[\d_]*\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def parse_yaml(text: str) -> Any:
    """Plain Python values of a YAML text.

    Raises:
        yaml.YAMLError: it is not YAML; UnfitValue where it is, but not fit for a config.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {}, 1)
        return loader.construct_document(node)
    except RecursionError:
        raise UnfitValue(f"it nests more than {MOST_LEVELS} levels") from None
    except (ValueError, KeyError) as error:  # what a tag such as !!int promises does not hold
        raise UnfitValue(str(error)) from error
    finally:
        loader.dispose()


def _count(node: yaml.Node, counts: dict[int, int], level: int) -> int:
    """Values that a node stands for, those behind every alias counted again; raises UnfitValue."""
    mark = node.start_mark
    if id(node) in counts:
        if counts[id(node)] == 0:
            raise UnfitValue("the anchor contains itself", mark)
        return counts[id(node)]
    if level > MOST_LEVELS:
        raise UnfitValue(f"it nests more than {MOST_LEVELS} levels", mark)
    if isinstance(node, yaml.ScalarNode):
        if node.tag == f"{TAG}int" and len(node.value) > MOST_DIGITS:
            raise UnfitValue(f"a number of {len(node.value)} digits", mark)
        return 1
    counts[id(node)] = 0  # until it is known
    inner = node.value
    if isinstance(node, yaml.MappingNode):
        _check_keys(node)
        inner = [value for _, value in node.value]
    total = 1 + sum(_count(child, counts, level + 1) for child in inner)
    if total > MOST_NODES:
        raise UnfitValue(f"its aliases stand for more than {MOST_NODES} values", mark)
    counts[id(node)] = total
    return total


def _check_keys(node: yaml.MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        mark = key.start_mark
        if not isinstance(key, yaml.ScalarNode):
            raise UnfitValue("the name of a field must be text, not a list or a section", mark)
        if key.tag == f"{TAG}null" or key.value.lower().lstrip("+-") == ".nan":
            raise UnfitValue(f"'{key.value}' cannot be the name of a field", mark)
        if key.value in seen and key.tag != f"{TAG}merge":
            raise UnfitValue(f"the field '{key.value}' stands twice", mark)
        seen.add(key.value)


def load_yaml(path: str | Path, expand: bool = True) -> dict[str, Any]:
    """Read one YAML mapping. With `expand`, `${NAME}` in values is replaced (see `expand_variables`).

    Raises:
        UserError: the file is missing, unreadable, not YAML, or not a mapping.
    """
    path = Path(path)
    if not path.is_file():
        nearby = sorted(str(other) for other in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        hint = f" The folder has: {', '.join(nearby)}." if nearby else ""
        raise UserError(f"There is no config file {path}.{hint}")
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text in UTF-8 (byte {error.start}). Save it as UTF-8.") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path} is no config{yaml_reason(error)}") from error
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold fields (`name: value`), but it holds a {type(content).__name__}.")
    return expand_variables(content, str(path)) if expand else content


def yaml_reason(error: yaml.YAMLError) -> str:
    """` (line 3): the field 'lr' stands twice.`, to follow what cannot be read."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    place = "" if mark is None else f" (line {mark.line + 1})"
    hint = " Indent with blanks, not tabs." if "\\t" in str(problem) else ""
    return f"{place}: {problem or ' '.join(str(error).split())}.{hint}"


def expand_variables(value: Any, where: str = "the config") -> Any:
    """Replace `${NAME}` in every string of a nested value by the environment variable NAME.

    `${S3PRL_CORPORA}` (where the corpora are) is `data` when the variable is not set.

    Raises:
        UserError: a variable without default is not set.
    """
    if isinstance(value, dict):
        return {key: expand_variables(item, where) for key, item in value.items()}
    if isinstance(value, list):
        return [expand_variables(item, where) for item in value]
    if not isinstance(value, str):
        return value

    def lookup(match: re.Match[str]) -> str:
        name = match.group(1)
        found = os.environ.get(name) or DEFAULTS.get(name)
        if found is None:
            raise UserError(f"{where} uses ${{{name}}}, which is not set. Run `export {name}=...` first.")
        return found

    return VARIABLE.sub(lookup, value)


def nearest(name: str, valid: Iterable[str]) -> str:
    """A hint for a misspelt name: ` Did you mean 'x'?`, or the empty string when nothing is close."""
    close = difflib.get_close_matches(str(name), [str(item) for item in valid], n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


def check_fields(given: Iterable[str], valid: Iterable[str], where: str) -> None:
    """Refuse fields that do not exist.

    Raises:
        UserError: names the first unknown field, the nearest valid one, and all valid ones.
    """
    valid = sorted(valid)
    for name in given:
        if name not in valid:
            raise UserError(
                f"{where} has no field '{name}'.{nearest(name, valid)} Valid fields: {', '.join(valid)}."
            )
