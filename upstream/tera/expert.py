"""TERA as an upstream (Liu et al., TASLP 2021): the transformer of Mockingjay, trained otherwise."""

from ..common.mel_transformer.expert import MelTransformerExpert


class UpstreamExpert(MelTransformerExpert):
    """Features of a transformer pre-trained to undo alterations of its input."""

    family = "tera"
