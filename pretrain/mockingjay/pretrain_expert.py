"""Mockingjay (Liu et al., ICASSP 2020): spans of frames are zeroed or replaced, and to be restored."""

from ..common.masked.expert import MaskedExpert


class UpstreamPretrainExpert(MaskedExpert):
    """A transformer on Kaldi features with deltas, or on mel to predict linear spectra (large)."""
