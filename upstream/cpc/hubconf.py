"""Names of modified CPC (Rivière et al., ICASSP 2020)."""

from typing import Any

from ..entries import checkpoint_entries


def cpc_local(ckpt: str | None = None, **kwargs: Any) -> Any:
    """Modified CPC from CPC_audio's file `ckpt`: in the published one 2 layers of 256 dimensions, 10 ms."""
    from .expert import UpstreamExpert

    return UpstreamExpert(ckpt=ckpt, **kwargs)


globals().update(checkpoint_entries("cpc", cpc_local))
