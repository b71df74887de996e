"""The transformer by the path under which tasks of the public S3PRL import it."""

from ..common.mel_transformer.model import SpecPredictionHead, TransformerConfig, TransformerModel
from .public_encoder import TransformerEncoder

__all__ = ["SpecPredictionHead", "TransformerConfig", "TransformerEncoder", "TransformerModel"]
