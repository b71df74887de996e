"""Names of the BYOL-A models."""

from typing import Any

from ..entries import checkpoint_entries


def byol_a_local(ckpt: str | None = None, **kwargs: Any) -> Any:
    """BYOL-A from the file `ckpt`: one vector of the size it says per `stride_secs` (default 1) seconds."""
    from .expert import UpstreamExpert

    return UpstreamExpert(ckpt=ckpt, **kwargs)


globals().update(checkpoint_entries("byol_a", byol_a_local))
