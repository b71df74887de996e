"""NPC, for `run_pretrain.py -u npc`."""

from collections.abc import Sequence

from torch import Tensor

from s3prl.upstream.npc.model import Npc, NpcConfig

from ..common.predictive import PredictivePretrainExpert


class UpstreamPretrainExpert(PredictivePretrainExpert):
    """Predicts every frame from those around it, of which the nearest are hidden.

    What an utterance is trained on does not depend on its batch: convolutions do not read each other's output
    in the padding, and batch norms learn from valid frames only (in the 2021 version both see the padding).
    """

    paras = NpcConfig

    def build(self, paras: NpcConfig, dim: int) -> Npc:
        """See PredictivePretrainExpert."""
        return Npc(paras, dim)

    def predict(self, features: Tensor, frames: Sequence[int]) -> tuple[Tensor, Tensor, Tensor, list[int]]:
        """See PredictivePretrainExpert."""
        hidden = self.model(features, frames)[-1]
        return hidden, self.model.prediction(hidden), features, list(frames)
