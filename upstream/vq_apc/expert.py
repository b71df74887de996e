"""VQ-APC as an upstream."""

from ..common.autoregressive import AutoregressiveExpert


class UpstreamExpert(AutoregressiveExpert):
    """See common/autoregressive.py; the codes of the checkpoint serve the prediction only."""

    family = "vq_apc"
