"""The part of the experts that all families share whose checkpoints are fairseq's or UniSpeech's."""

from collections.abc import Sequence
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor, nn

from s3prl.utility.errors import UserError
from s3prl.utility.weights import load_weights

from ..transformers.adapter import TransformersUpstream
from ..transformers.library import transformers
from .reading import Published, read
from .settings import transformers_fields
from .weights import converted

PROJECTION = "feature_projection.projection.weight"


class FairseqUpstream(TransformersUpstream):
    """A published file as a model of the transformers library; subclasses say which, and from what fields."""

    family: str  # prefix of the entries
    architecture: str  # `<architecture>Model` and `<architecture>Config` are classes of the library

    def __init__(self, ckpt: str | None = None, model_config: str | None = None, **options: Any) -> None:
        """
        Args:
            ckpt: path of the file.
            model_config: not used; the file holds its configuration.
            options: see TransformersUpstream (`alone`).

        Raises:
            UserError: the file cannot be read, or is of another network.
        """
        published = read(ckpt, self.family)
        super().__init__(self.build(published), normalize=published.normalize, **options)
        self.name = f"[{self.family}]"
        self.gradient_scale = published.settings.get("feature_grad_mult", 1.0)

    def encode_features(self, features: Tensor, valid: Sequence[int], frames: int) -> list[Tensor]:
        """See TransformersUpstream; the convolutions learn more slowly, as `feature_grad_mult` asks."""
        if features.requires_grad and self.gradient_scale != 1.0:
            features.register_hook(lambda gradient: gradient * self.gradient_scale)
        return super().encode_features(features, valid, frames)

    def fields(self, published: Published) -> dict[str, Any]:
        """Fields of the transformers configuration. Raises UserError for a network it cannot describe."""
        return transformers_fields(published)

    def network(
        self, kind: type[transformers.PreTrainedModel], config: transformers.PretrainedConfig
    ) -> transformers.PreTrainedModel:
        """The network without weights."""
        return kind(config)

    def build(self, published: Published) -> transformers.PreTrainedModel:
        """The network with the weights of the file."""
        kind = getattr(transformers, f"{self.architecture}Model")
        fields = self.fields(published)
        weights = converted(published)
        try:
            config = kind.config_class(**fields)
            with torch.device("meta"):  # the weights come from the file, none needs an initial value
                model = self.network(kind, config)
        except (StrictDataclassError, ValueError, TypeError, ArithmeticError) as error:
            raise UserError(f"{published.path}: its configuration describes no network: {error}") from error
        if hasattr(model, "masked_spec_embed"):
            del model.masked_spec_embed
        if PROJECTION not in weights and config.conv_dim[-1] == config.hidden_size:
            model.feature_projection.projection = nn.Identity()  # fairseq has none between equal dimensions
        load_weights(model, weights, str(published.path), assign=True)
        return model.eval()
