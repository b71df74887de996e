"""data2vec from its published files."""

from typing import Any

from ..common.fairseq_format.expert import FairseqUpstream
from ..common.fairseq_format.reading import Published
from ..common.fairseq_format.settings import require
from ..common.transformers.library import transformers

SMALLEST_KERNEL = 3


class UpstreamExpert(FairseqUpstream):
    """data2vec (Baevski et al., ICML 2022) for audio."""

    family = "data2vec"
    architecture = "Data2VecAudio"

    def fields(self, published: Published) -> dict[str, Any]:
        """Fields of the transformers configuration. Raises UserError for a network it cannot describe."""
        require(published, {"extractor_mode": ("layer_norm",)})
        fields = super().fields(published)
        depth = published.settings.get("pos_conv_depth", 1)
        kernel = max(SMALLEST_KERNEL, fields["num_conv_pos_embeddings"] // depth)
        return fields | {"num_conv_pos_embeddings": depth, "conv_pos_kernel_size": kernel}

    def network(
        self, kind: type[transformers.PreTrainedModel], config: transformers.PretrainedConfig
    ) -> transformers.PreTrainedModel:
        """The library's network, which lacks norms before the sublayers: they are in that of wav2vec 2.0."""
        model = super().network(kind, config)
        if config.do_stable_layer_norm:
            wav2vec2, positions = transformers.models.wav2vec2, model.encoder.pos_conv_embed
            model.encoder = wav2vec2.modeling_wav2vec2.Wav2Vec2EncoderStableLayerNorm(config)
            model.encoder.pos_conv_embed = positions
        return model
