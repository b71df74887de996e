"""Names of APC."""

from typing import Any

from ..entries import checkpoint_entries


def apc_local(ckpt: str | None = None, **kwargs: Any) -> Any:
    """APC from the checkpoint file `ckpt`: 3 layers of 512 dimensions, 10 ms, in published ones."""
    from .expert import UpstreamExpert

    return UpstreamExpert(ckpt=ckpt, **kwargs)


globals().update(checkpoint_entries("apc", apc_local))
