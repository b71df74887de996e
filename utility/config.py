"""YAML configuration files: safe, with numbers as people write them and one variable for the corpora."""

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from s3prl.utility.errors import UserError

VARIABLE = re.compile(r"\$\{(\w+)\}")
DEFAULTS = {"S3PRL_CORPORA": "data"}


class _Loader(yaml.SafeLoader):
    """Safe YAML that reads `1e-3` as a float (YAML 1.1 calls it a string) and refuses repeated keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key_node, _ in node.value:
            if key_node.value in seen and key_node.tag != "tag:yaml.org,2002:merge":
                line = key_node.start_mark.line + 1
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    f"the field '{key_node.value}' stands twice (line {line})",
                    key_node.start_mark,
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def parse_yaml(text: str) -> Any:
    """Plain Python values of a YAML text; raises yaml.YAMLError."""
    return yaml.load(text, Loader=_Loader)


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
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from error
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold fields (`name: value`), but it holds a {type(content).__name__}.")
    return expand_variables(content, str(path)) if expand else content


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
