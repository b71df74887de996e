"""NPC as an upstream."""

from functools import partial
from typing import Any

from ..common.predictive import PredictiveExpert
from .model import Npc, NpcConfig


class UpstreamExpert(PredictiveExpert):
    """The outputs of all blocks and masked convolutions, and last the sum of the latter."""

    family = "npc"

    def __init__(
        self,
        ckpt: str | None = None,
        model_config: str | None = None,
        public_batch: bool = False,
        **options: Any,
    ) -> None:
        """
        Args:
            ckpt: path of a checkpoint of the public S3PRL, which holds the sizes of the model too.
            model_config: not used.
            public_batch: give the public S3PRL's values for the batch, in which the last frames of shorter
                utterances see what convolutions wrote into the padding.

        Raises:
            UserError: no such file, or not a checkpoint of NPC.
        """
        super().__init__(ckpt, NpcConfig, partial(Npc, mask_padding=not public_batch), **options)
        self.batch_invariant = not public_batch
