"""Models of the Hugging Face hub for the entries of a hubconf.py, which may not import the library itself."""

from typing import Any


def from_repository(**options: Any) -> Any:
    """See `s3prl.upstream.hf.loading.from_repository`."""
    from ..hf.loading import from_repository

    return from_repository(**options)
