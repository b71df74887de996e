"""The wrapper of every entry of the hub: unknown keywords are refused, models come in evaluation mode."""

import functools
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from s3prl.utility.config import nearest
from s3prl.utility.errors import UserError

# Folders whose entries and constructors name all their options. Entries of other folders may take any, unless
# their own signature says which.
STRICT = {
    "apc", "audio_albert", "baseline", "byol_a", "cpc", "data2vec", "decoar", "decoar2", "distiller",
    "example", "hf", "hubert", "log_stft", "m2d", "mockingjay", "npc", "pase", "tera", "unispeech_sat",
    "vq_apc", "vq_wav2vec", "wav2vec", "wav2vec2", "wavlm",
}  # fmt: skip
# What the runner and the public S3PRL may give to any entry.
GENERAL = (
    "ckpt", "model_config", "refresh", "alone", "public_batch", "feature_selection", "hooks",
    "hook_postprocess",
)  # fmt: skip


def guarded(entry: Callable[..., Any], folder: str, name: str) -> Callable[..., Any]:
    """The entry of a family's hubconf.py, with its name, signature and documentation.

    The model that it returns is in evaluation mode, so that two calls agree; the runner switches to training
    mode for fine-tuning. Entries of our own families refuse keywords that nothing would read.

    Args:
        folder: of the family, in upstream/, or of a task.
        name: by which the entry is asked for.
    """

    @functools.wraps(entry)
    def build(*args: Any, **kwargs: Any) -> Any:
        if folder in STRICT:
            _check([keyword for keyword in kwargs if keyword not in GENERAL], _keywords, folder, name)
        else:
            _check(kwargs, _parameters, entry, name)
        return evaluating(entry(*args, **kwargs))

    return build


def evaluating(model: Any) -> Any:
    """The model in evaluation mode; anything else as it is."""
    from torch import nn  # the names of entries are listed without PyTorch

    return model.eval() if isinstance(model, nn.Module) else model


def _check(given: Iterable[str], known: Callable[..., list[str] | None], of: Any, name: str) -> None:
    """Refuse keywords that `known(of)` does not list; raises a UserError with the nearest that it does."""
    given = list(given)
    valid = known(of) if given else None
    for keyword in given if valid is not None else ():
        if keyword not in valid:
            raise UserError(
                f"{name} has no option '{keyword}'.{nearest(keyword, valid)} Its options: {', '.join(valid)}."
            )


def _parameters(entry: Callable[..., Any]) -> list[str] | None:
    """The keywords in an entry's signature; None where it takes any."""
    parameters = inspect.signature(entry).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return sorted(parameter.name for parameter in parameters)


@functools.lru_cache
def _keywords(folder: str) -> list[str]:
    """The keywords of a family: those of its entries and of its model's constructor.

    Constructors that families share also have arguments that are not for users, and are left out.
    """
    hubconf = importlib.import_module(f"s3prl.upstream.{folder}.hubconf")
    functions = [
        value
        for name, value in vars(hubconf).items()
        if inspect.isfunction(value) and value.__module__ == hubconf.__name__ and not name.startswith("_")
    ]
    if importlib.util.find_spec(f"s3prl.upstream.{folder}.expert"):
        expert = importlib.import_module(f"s3prl.upstream.{folder}.expert").UpstreamExpert
        if expert.__init__.__module__.startswith(f"s3prl.upstream.{folder}."):
            functions.append(expert.__init__)
    names = set(GENERAL)
    for function in functions:
        names.update(
            parameter.name
            for parameter in inspect.signature(function).parameters.values()
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        )
    return sorted(names - {"self"})
