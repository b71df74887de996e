"""Phone classification by a hidden layer and a linear one on every frame of TIMIT."""

from ..common.timit_phone import TimitPhoneTask


class DownstreamExpert(TimitPhoneTask):
    """The phone of every 10 ms from that frame alone, not only linearly."""

    head = "Framelevel1Hidden"
