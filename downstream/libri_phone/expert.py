"""Phone classification by a bank of convolutions on LibriSpeech; hubconf.py makes upstreams of the result."""

from ..common.libri_phone import LibriPhoneTask


class DownstreamExpert(LibriPhoneTask):
    """The phone of every 10 ms by the head that the config selects."""

    head = "ConvBank"
