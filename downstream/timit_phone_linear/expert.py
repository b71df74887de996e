"""Phone classification by a linear layer on every frame of TIMIT."""

from ..common.timit_phone import TimitPhoneTask


class DownstreamExpert(TimitPhoneTask):
    """The phone of every 10 ms from that frame alone."""

    head = "FrameLevel"
