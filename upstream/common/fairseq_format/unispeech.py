"""The published files of WavLM and UniSpeech-SAT."""

from typing import Any

from ..transformers.adapter import EvenSplitUpstream
from ..transformers.library import transformers
from .expert import FairseqUpstream
from .reading import Published
from .settings import require

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
