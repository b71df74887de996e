"""Which methods of pre-training there are: the folders here, and folders of the user's anywhere (`-u PATH`).

A method is known by its name, or by the absolute path of its folder. A longer name that begins with that of a
folder, `tera_base`, is that method too: its runs have a name of their own.
"""

import ast
from pathlib import Path

import s3prl.pretrain
from s3prl.utility.plugin_room import PluginRoom

ROOM = PluginRoom(
    "pretrain", "pretrain_expert", "UpstreamPretrainExpert", "-u", "upstream", "pre-training", "method"
)
RUNNER_FILE, MODEL_FILE = "config_runner.yaml", "config_model.yaml"  # configs that a method brings along

methods = ROOM.names
named = ROOM.named


def folder_name(upstream: str) -> str:
    """What selects the folder of a method: of `tera_base` it is `tera`; names of no method stay."""
    names = methods()
    begins = [name for name in names if upstream.startswith(f"{name}_")]
    return upstream if upstream in names or not begins else max(begins, key=len)


def check_method(upstream: str | None) -> None:
    """Raise a UserError when there is no such method."""
    ROOM.check(upstream if upstream is None else folder_name(upstream))


def default_config(upstream: str, name: str, option: str) -> str:
    """The path of a config, RUNNER_FILE or MODEL_FILE, that a method brings along.

    Args:
        option: the one that chooses another.

    Raises:
        UserError: it brings none of that name, but others to choose from.
    """
    return ROOM.config(folder_name(upstream), name, option)


def import_expert(upstream: str) -> type:
    """The class UpstreamPretrainExpert of a method; a UserError says why it cannot be imported."""
    return ROOM.load(folder_name(upstream))


def summaries() -> dict[str, str]:
    """What the folder of every method says of itself in the first line of its docstring; none is imported."""
    found = {}
    for place in map(Path, s3prl.pretrain.__path__):
        for name in methods():
            init = place / name / "__init__.py"
            text = init.read_text(encoding="utf-8") if init.is_file() else ""
            found[name] = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    return found
