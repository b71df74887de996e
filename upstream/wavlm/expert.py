"""WavLM from its published files."""

from typing import Any

from ..fairseq_format.expert import FairseqUpstream
from ..fairseq_format.reading import Published
from ..fairseq_format.settings import require
from ..hf.adapter import EvenSplitUpstream
from ..hf.library import transformers

DEFAULTS = {"num_buckets": 320, "max_distance": 1280}  # where a file says nothing


class UniSpeechUpstream(FairseqUpstream, EvenSplitUpstream):
    """The network that WavLM and UniSpeech-SAT share, with or without relative positions."""

    def build(self, published: Published) -> transformers.PreTrainedModel:
        """The network with the weights of the file."""
        relative = published.settings.get("relative_position_embedding", False)
        self.architecture = "WavLM" if relative else "UniSpeechSat"
        return super().build(published)

    def fields(self, published: Published) -> dict[str, Any]:
        """Fields of the transformers configuration. Raises UserError for a network it cannot describe."""
        fields = super().fields(published)
        if self.architecture != "WavLM":
            return fields
        require(published, {"gru_rel_pos": (True,)})
        given = DEFAULTS | published.settings
        return fields | {"num_buckets": given["num_buckets"], "max_bucket_distance": given["max_distance"]}


class UpstreamExpert(UniSpeechUpstream):
    """WavLM (Chen et al., JSTSP 2022)."""

    family = "wavlm"
