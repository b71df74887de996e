"""Names of wav2vec 2.0 models."""

from typing import Any

from ..entries import checkpoint_entries


def wav2vec2_local(ckpt: str | None = None, **kwargs: Any) -> Any:
    """The model from `ckpt`, the path of a published file; `feature_selection` adds outputs of layers."""
    from .expert import UpstreamExpert

    return UpstreamExpert(ckpt=ckpt, **kwargs)


def _from_repository(feature_selection: str | None = None, **kwargs: Any) -> Any:
    from ..common.transformers.loading import from_repository
    from .layers import LayersUpstream

    upstream = from_repository(**kwargs)
    return LayersUpstream(
        upstream.model, upstream.normalize, upstream.alone, feature_selection=feature_selection
    )


globals().update(checkpoint_entries("wav2vec2", wav2vec2_local, from_hub=_from_repository))
