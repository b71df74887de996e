"""TERA as an upstream (Liu et al., TASLP 2021): the expert of Mockingjay with its own checkpoints."""

from ..mockingjay.expert import UpstreamExpert as MockingjayExpert


class UpstreamExpert(MockingjayExpert):
    """Features of a transformer pre-trained to undo alterations of its input."""

    family = "tera"
