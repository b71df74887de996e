"""Names of vq-wav2vec (Baevski et al., ICLR 2020)."""

from typing import Any

from ..entries import checkpoint_entries


def vq_wav2vec_local(ckpt: str | None = None, **kwargs: Any) -> Any:
    """vq-wav2vec from the file `ckpt`, of fairseq or of the public S3PRL."""
    from .expert import UpstreamExpert

    return UpstreamExpert(ckpt=ckpt, **kwargs)


globals().update(checkpoint_entries("vq_wav2vec", vq_wav2vec_local))
