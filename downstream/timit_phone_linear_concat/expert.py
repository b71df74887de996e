"""Phone classification by a linear layer on neighbouring frames of TIMIT."""

from ..common.timit_phone import TimitPhoneTask


class DownstreamExpert(TimitPhoneTask):
    """The phone of every 10 ms from the frame and those around it."""

    head = "FramelevelConcat"
