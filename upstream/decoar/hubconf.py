"""Names of DeCoAR."""

from typing import Any

from ..entries import checkpoint_entries


def decoar_local(ckpt: str | None = None, **kwargs: Any) -> Any:
    """DeCoAR from the checkpoint file `ckpt`: in the published one 2048 dimensions, 10 ms."""
    from .expert import UpstreamExpert

    return UpstreamExpert(ckpt=ckpt, **kwargs)


globals().update(checkpoint_entries("decoar", decoar_local))
