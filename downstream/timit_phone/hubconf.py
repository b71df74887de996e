"""The name of the upstream that a phone probe trained on TIMIT is."""

from typing import Any


def timit_phone_posteriorgram(
    ckpt: str | None = None,
    model_config: str | None = None,
    refresh: bool = False,
    alone: bool = False,
    public_batch: bool = False,
) -> Any:
    """Posteriors of TIMIT's 39 phones every 10 ms, by the phone probe whose checkpoint is `ckpt`."""
    from ..common.posteriorgram import Posteriorgram

    return Posteriorgram(ckpt, alone, public_batch)
