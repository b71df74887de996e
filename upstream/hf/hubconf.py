"""Any audio model of the Hugging Face hub, and names for some that have no family of their own."""

from typing import Any

from s3prl.utility.errors import UserError

from ..entries import checkpoint_entries


def _from_repository(repository: str, refresh: bool = False, **options: Any) -> Any:
    from ..common.transformers.loading import from_repository

    return from_repository(repository, refresh=bool(refresh), original=False, **options)


def hf(ckpt: str | None = None, refresh: bool = False, **kwargs: Any) -> Any:
    """The audio model of the hub repository (`organisation/model`) or local folder `ckpt`."""
    if ckpt is None:
        raise UserError(
            "hf needs a repository of the Hugging Face hub or a folder: -u hf -k facebook/wav2vec2-base, or "
            'hf(ckpt="facebook/wav2vec2-base") in Python.'
        )
    return _from_repository(ckpt, refresh, **kwargs)


def hf_wav2vec2_custom(*args: Any, **kwargs: Any) -> Any:
    """The same as `hf`: its name in the public S3PRL, for wav2vec 2.0."""
    return hf(*args, **kwargs)


def hf_hubert_custom(*args: Any, **kwargs: Any) -> Any:
    """The same as `hf`: its name in the public S3PRL, for HuBERT."""
    return hf(*args, **kwargs)


_FILES = ("hf_url", "hf_gdriveid", "hf_custom")  # of single files, which hf does not read
globals().update(
    {
        name: entry
        for name, entry in checkpoint_entries("hf", hf, _from_repository).items()
        if name not in _FILES
    }
)
