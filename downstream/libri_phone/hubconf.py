"""The name of the upstream that a trained phone probe is."""

from typing import Any


def libri_phone_posteriorgram(
    ckpt: str | None = None,
    model_config: str | None = None,
    refresh: bool = False,
    alone: bool = False,
    public_batch: bool = False,
) -> Any:
    """Posteriors of phones every 10 ms, by the phone probe whose checkpoint is `ckpt`; that says the rest."""
    from ..common.posteriorgram import Posteriorgram

    return Posteriorgram(ckpt, alone, public_batch)
