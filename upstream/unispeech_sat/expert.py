"""UniSpeech-SAT from its published files."""

from ..common.fairseq_format.expert import FairseqUpstream
from ..common.transformers.adapter import EvenSplitUpstream


class UpstreamExpert(FairseqUpstream, EvenSplitUpstream):
    """UniSpeech-SAT (Chen et al., ICASSP 2022)."""

    family = "unispeech_sat"
    architecture = "UniSpeechSat"
