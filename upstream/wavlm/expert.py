"""WavLM from its published files."""

from typing import Any

from ..common.fairseq_format.expert import FairseqUpstream
from ..common.fairseq_format.reading import Published
from ..common.fairseq_format.settings import require
from ..common.transformers.adapter import EvenSplitUpstream

DEFAULTS = {"num_buckets": 320, "max_distance": 1280}  # where a file says nothing


class UpstreamExpert(FairseqUpstream, EvenSplitUpstream):
    """WavLM (Chen et al., JSTSP 2022)."""

    family = "wavlm"
    architecture = "WavLM"

    def fields(self, published: Published) -> dict[str, Any]:
        """Fields of the transformers configuration. Raises UserError for a network it cannot describe."""
        require(published, {"gru_rel_pos": (True,)})
        given = DEFAULTS | published.settings
        fields = {"num_buckets": given["num_buckets"], "max_bucket_distance": given["max_distance"]}
        return super().fields(published) | fields
