"""WavLM from its published files."""

from ..common.fairseq_format.unispeech import UniSpeechUpstream


class UpstreamExpert(UniSpeechUpstream):
    """WavLM (Chen et al., JSTSP 2022)."""

    family = "wavlm"
