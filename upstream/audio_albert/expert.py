"""Audio ALBERT as an upstream (Chi et al., SLT 2021): the expert of Mockingjay, sharing layers."""

from ..mockingjay.expert import UpstreamExpert as MockingjayExpert


class UpstreamExpert(MockingjayExpert):
    """Features of a transformer whose layers are one and the same."""

    family = "audio_albert"
