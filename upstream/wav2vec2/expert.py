"""wav2vec 2.0 from its published files."""

from typing import Any

from ..common.fairseq_format.expert import FairseqUpstream
from ..common.fairseq_format.reading import Published
from ..common.fairseq_format.settings import require
from .layers import LayersUpstream


class UpstreamExpert(FairseqUpstream, LayersUpstream):
    """wav2vec 2.0 (Baevski et al., NeurIPS 2020), XLSR-53 and XLS-R (Babu et al., Interspeech 2022)."""

    family = "wav2vec2"
    architecture = "Wav2Vec2"

    def fields(self, published: Published) -> dict[str, Any]:
        """Fields of the transformers configuration. Raises UserError for a network it cannot describe."""
        require(published, {"pos_conv_depth": (1,)})
        return super().fields(published)
