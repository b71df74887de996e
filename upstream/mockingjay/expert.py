"""Mockingjay (Liu et al., ICASSP 2020) as an upstream."""

from ..common.mel_transformer.expert import MelTransformerExpert


class UpstreamExpert(MelTransformerExpert):
    """Features of a transformer that was trained to restore masked frames."""

    family = "mockingjay"
