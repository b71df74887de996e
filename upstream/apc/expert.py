"""APC as an upstream."""

from ..common.autoregressive import AutoregressiveExpert


class UpstreamExpert(AutoregressiveExpert):
    """See common/autoregressive.py."""

    family = "apc"
