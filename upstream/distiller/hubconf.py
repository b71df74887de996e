"""Names of distilled models: `distiller_local` for your own file, `distilhubert` for the published one."""

from typing import Any

from ..entries import checkpoint_entries


def distiller_local(ckpt: str | None = None, model_config: str | None = None, **kwargs: Any) -> Any:
    """DistilHuBERT from the checkpoint `ckpt`; a YAML file `model_config` replaces its configuration."""
    from .expert import UpstreamExpert

    return UpstreamExpert(ckpt, model_config=model_config, **kwargs)


globals().update(checkpoint_entries("distiller", distiller_local))
