"""Upstreams as padded batches, by the public S3PRL's import path: `from s3prl.nn import S3PRLUpstream`."""

from .upstream import Featurizer, S3PRLUpstream

__all__ = ["Featurizer", "S3PRLUpstream"]
