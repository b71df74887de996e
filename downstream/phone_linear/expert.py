"""Phone classification by a linear layer on every frame of LibriSpeech (van den Oord et al., 2018)."""

from ..common.libri_phone import LibriPhoneTask


class DownstreamExpert(LibriPhoneTask):
    """The phone of every 10 ms from that frame alone."""

    head = "FrameLevel"
