"""Names of NPC."""

from typing import Any

from ..entries import checkpoint_entries


def npc_local(ckpt: str | None = None, **kwargs: Any) -> Any:
    """NPC from the checkpoint file `ckpt`: 9 hidden states of 512 dimensions, 10 ms, in published ones.

    With `public_batch=True` shorter utterances see the padding of their batch, as in the public S3PRL.
    """
    from .expert import UpstreamExpert

    return UpstreamExpert(ckpt=ckpt, **kwargs)


globals().update(checkpoint_entries("npc", npc_local))
