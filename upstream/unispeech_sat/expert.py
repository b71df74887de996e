"""UniSpeech-SAT from its published files."""

from ..common.fairseq_format.unispeech import UniSpeechUpstream


class UpstreamExpert(UniSpeechUpstream):
    """UniSpeech-SAT (Chen et al., ICASSP 2022)."""

    family = "unispeech_sat"
