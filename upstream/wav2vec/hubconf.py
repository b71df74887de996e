"""Names of wav2vec (Schneider et al., Interspeech 2019)."""

from typing import Any

from ..entries import checkpoint_entries


def wav2vec_local(ckpt: str | None = None, **kwargs: Any) -> Any:
    """wav2vec from the file `ckpt`, of fairseq or of the public S3PRL."""
    from .expert import UpstreamExpert

    return UpstreamExpert(ckpt=ckpt, **kwargs)


globals().update(checkpoint_entries("wav2vec", wav2vec_local))
