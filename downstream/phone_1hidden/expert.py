"""Phone classification by a hidden layer and a linear one on every frame of LibriSpeech."""

from ..common.libri_phone import LibriPhoneTask


class DownstreamExpert(LibriPhoneTask):
    """The phone of every 10 ms from that frame alone, not only linearly."""

    head = "Framelevel1Hidden"
