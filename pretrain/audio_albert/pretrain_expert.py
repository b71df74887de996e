"""Audio ALBERT (Chi et al., SLT 2021): the task of Mockingjay, and one layer that is used several times."""

from ..common.masked.expert import MaskedExpert


class UpstreamPretrainExpert(MaskedExpert):
    """A transformer on log mel spectra whose layers share their weights."""
