"""VQ-APC, for `run_pretrain.py -u vq_apc`."""

from ..common.autoregressive import AutoregressivePretrainExpert


class UpstreamPretrainExpert(AutoregressivePretrainExpert):
    """See common/autoregressive.py; Gumbel noise in training is drawn at `vq.gumbel_temperature`."""

    quantised = True
