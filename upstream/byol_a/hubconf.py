"""Names of the BYOL-A models."""

from typing import Any

from ..entries import checkpoint_entries


def byol_a_local(
    ckpt: str | None = None,
    model_config: str | None = None,
    feature_d: int | None = None,
    window_secs: float = 1.0,
    stride_secs: float = 1.0,
    **kwargs: Any,
) -> Any:
    """BYOL-A from the file `ckpt`: one vector of the size it says per `stride_secs` seconds."""
    from .expert import UpstreamExpert

    kwargs.pop("refresh", None)
    return UpstreamExpert(
        ckpt=ckpt, feature_d=feature_d, window_secs=window_secs, stride_secs=stride_secs, **kwargs
    )


globals().update(checkpoint_entries("byol_a", byol_a_local))
