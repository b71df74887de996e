"""Phone classification by a linear layer on neighbouring frames of LibriSpeech."""

from ..common.libri_phone import LibriPhoneTask


class DownstreamExpert(LibriPhoneTask):
    """The phone of every 10 ms from the frame and those around it."""

    head = "FramelevelConcat"
