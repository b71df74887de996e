"""Names of the PASE models."""

from typing import Any

from s3prl.utility.download import download

from ..entries import checkpoint_entries


def pase_local(ckpt: str | None = None, model_config: str | None = None, **kwargs: Any) -> Any:
    """PASE+ from the file `ckpt`; `model_config` (path or URL): sizes in JSON (default: the published)."""
    from .expert import UpstreamExpert

    kwargs.pop("refresh", None)
    if model_config is not None:
        model_config = str(download(model_config))
    return UpstreamExpert(ckpt=ckpt, model_config=model_config, **kwargs)


globals().update(checkpoint_entries("pase", pase_local))
