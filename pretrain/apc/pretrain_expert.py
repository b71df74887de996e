"""APC, for `run_pretrain.py -u apc`."""

from ..common.autoregressive import AutoregressivePretrainExpert


class UpstreamPretrainExpert(AutoregressivePretrainExpert):
    """See common/autoregressive.py."""

    quantised = False
