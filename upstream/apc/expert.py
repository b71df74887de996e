"""APC and VQ-APC as upstreams."""

from typing import Any

from .model import Apc, ApcConfig
from .predictive import PredictiveExpert


class UpstreamExpert(PredictiveExpert):
    """The outputs of all GRU layers, the last of which VQ-APC quantises for its prediction only."""

    def __init__(self, ckpt: str | None = None, model_config: str | None = None, **options: Any) -> None:
        """
        Args:
            ckpt: path of a checkpoint of the public S3PRL, which holds the sizes of the model too.
            model_config: not used.

        Raises:
            UserError: no such file, or not a checkpoint of APC or VQ-APC.
        """
        super().__init__("APC", ckpt, ApcConfig, Apc, **options)
