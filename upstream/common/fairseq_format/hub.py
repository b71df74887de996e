"""Models of the Hugging Face hub for the entries of a hubconf.py, which may not import the library itself."""

from typing import Any


def from_repository(**options: Any) -> Any:
    """See `s3prl.upstream.common.transformers.loading.from_repository`."""
    from ..transformers.loading import from_repository

    return from_repository(**options)
