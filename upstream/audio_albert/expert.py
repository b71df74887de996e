"""Audio ALBERT as an upstream (Chi et al., SLT 2021): the transformer of Mockingjay, sharing layers."""

from ..common.mel_transformer.expert import MelTransformerExpert


class UpstreamExpert(MelTransformerExpert):
    """Features of a transformer whose layers are one and the same."""

    family = "audio_albert"
