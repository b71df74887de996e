"""Names of DeCoAR 2.0."""

from typing import Any

from ..entries import checkpoint_entries


def decoar2_local(ckpt: str | None = None, **kwargs: Any) -> Any:
    """DeCoAR 2.0 from the checkpoint file `ckpt`: in the published one 13 layers of 768 dimensions, 20 ms.

    `encoder_attention_heads` (default 12) is for models of your own; a checkpoint does not state it.
    """
    from .expert import UpstreamExpert

    return UpstreamExpert(ckpt=ckpt, **kwargs)


globals().update(checkpoint_entries("decoar2", decoar2_local))
