"""Names of VQ-APC."""

from typing import Any

from ..entries import checkpoint_entries


def vq_apc_local(ckpt: str | None = None, **kwargs: Any) -> Any:
    """VQ-APC from the checkpoint file `ckpt`: the sizes and features of APC."""
    from .expert import UpstreamExpert

    return UpstreamExpert(ckpt=ckpt, **kwargs)


globals().update(checkpoint_entries("vq_apc", vq_apc_local))
