"""Names of UniSpeech-SAT models."""

from typing import Any

from ..common.fairseq_format.hub import from_repository
from ..entries import checkpoint_entries


def unispeech_sat_local(ckpt: str | None = None, **kwargs: Any) -> Any:
    """The model from `ckpt`, the path of a published file."""
    from .expert import UpstreamExpert

    return UpstreamExpert(ckpt=ckpt, **kwargs)


globals().update(checkpoint_entries("unispeech_sat", unispeech_sat_local, from_hub=from_repository))
