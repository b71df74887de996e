"""Names of NPC."""

from typing import Any

from ..entries import checkpoint_entries


def npc_local(ckpt: str | None = None, **kwargs: Any) -> Any:
    """NPC from the checkpoint file `ckpt`: 9 hidden states of 512 dimensions, 10 ms, in published ones.

    With `alone=True` an utterance's hidden states do not depend on the rest of its batch.
    """
    from .expert import UpstreamExpert

    return UpstreamExpert(ckpt=ckpt, **kwargs)


globals().update(checkpoint_entries("npc", npc_local))
