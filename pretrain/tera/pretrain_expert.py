"""TERA (Liu et al., TASLP 2021): spans of time, bands of frequency and the magnitude are altered."""

from ..common.masked.expert import MaskedExpert


class UpstreamPretrainExpert(MaskedExpert):
    """A transformer on log mel spectra; exp_model_config/ has the alterations one by one."""
