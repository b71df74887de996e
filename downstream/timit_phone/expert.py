"""Phone classification by a bank of convolutions on TIMIT; hubconf.py makes upstreams of the result."""

from ..common.timit_phone import TimitPhoneTask


class DownstreamExpert(TimitPhoneTask):
    """The phone of every 10 ms by a bank of convolutions."""

    head = "ConvBank"
