"""The one way from a name (-u), a checkpoint (-k) and a configuration (-g) to an upstream."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import nn

from s3prl.utility.errors import UserError
from s3prl.utility.paths import ROOT, find_path

from . import guard, registry
from .interfaces import UpstreamBase

Folder = str | Path


def build_upstream(
    name: str,
    ckpt: str | None = None,
    model_config: str | None = None,
    *,
    folders: Sequence[Folder] = (),
    refresh: bool = False,
    alone: bool = False,
    public_batch: bool = False,
    feature_selection: str = "hidden_states",
    entry: Callable[..., Any] | None = None,
) -> nn.Module:
    """An upstream on the CPU, in evaluation mode.

    Args:
        name: of an entry in the registry, or a folder of the user's; with `entry`, only what errors call it.
        ckpt: a path (FILE,MEAN,STD for M2D), or an address, id or hub name that the entry understands.
        model_config: path or URL of a configuration.
        folders: where relative paths are looked for besides the working folder and the repository, such as
            the folder from which an experiment was started first.
        refresh: download again.
        alone: give every utterance the values it has alone, in any batch, where the model has this option.
        public_batch: give the values that the public S3PRL gives for the batch, where the model has others.
        feature_selection: an output beyond `hidden_states` that the model may have to prepare.
        entry: the function that builds the model, when it is not in the registry.

    Raises:
        UserError: no such upstream or configuration; the entry returned no model; or what the entry raises.
    """
    entry = entry or registry.get(name)
    parameters = inspect.signature(entry).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    asked: dict[str, Any] = {"alone": alone, "public_batch": public_batch}
    further = {option: True for option, wanted in asked.items() if wanted}
    if feature_selection != "hidden_states":
        further["feature_selection"] = feature_selection
    options = {option: value for option, value in further.items() if takes_any or option in parameters}
    upstream = guard.evaluating(
        entry(
            ckpt=_find_ckpt(ckpt, folders),
            model_config=find_config(model_config, folders),
            refresh=refresh,
            **options,
        )
    )
    if not isinstance(upstream, nn.Module):
        raise UserError(f"The entry '{name}' returned {type(upstream).__name__}, not a model.")
    if isinstance(upstream, UpstreamBase):
        upstream.folders = tuple(folders)
    return upstream


def public_batch_of(arguments: Mapping[str, Any]) -> bool:
    """Whether a run with these arguments saw the values that the public S3PRL gives for its batches.

    Arguments that do not mention it are of a run before there was a choice, which did unless it said `alone`.
    """
    asked = arguments.get("upstream_public_batch")
    return not arguments.get("upstream_alone") if asked is None else bool(asked)


def task_name(arguments: Mapping[str, Any]) -> str:
    """What `for_task` calls the task of a run with these arguments, such as `asr-mini` (task and config)."""
    return f"{Path(str(arguments.get('downstream'))).name}-{Path(arguments.get('config') or 'config').stem}"


def find_config(model_config: str | None, folders: Sequence[Folder] = ()) -> str | None:
    """The absolute path of a configuration; a URL stays as it is.

    Raises:
        UserError: it exists nowhere.
    """
    if model_config is None or "://" in str(model_config):
        return model_config
    path = find_path(model_config, *folders)
    if not path.exists():
        places = ", ".join(dict.fromkeys(str(folder) for folder in (Path.cwd(), *folders, ROOT)))
        raise UserError(f"-g {model_config}: there is no such file. Looked for it in {places}.")
    return str(path.absolute())


def config_digest(model_config: str | None) -> str | None:
    """What tells a configuration file (see `find_config`) from another; None where there is none."""
    if model_config is None or not Path(model_config).is_file():
        return None
    return sha256(Path(model_config).read_bytes()).hexdigest()


def _find_ckpt(ckpt: str | None, folders: Sequence[Folder]) -> str | None:
    """The checkpoint with an absolute path if it is one; of FILE,MEAN,STD the first part counts."""
    if ckpt is None:
        return None
    file, *numbers = str(ckpt).rsplit(",", 2)
    for path, behind in ((str(ckpt), []), (file, numbers)):
        found = find_path(path, *folders)
        if path and found.exists():
            return ",".join([str(found.absolute()), *behind])
    return str(ckpt)
