"""How APC and VQ-APC are trained: the network hears some frames and predicts one a little ahead."""

from collections.abc import Sequence

from torch import Tensor

from s3prl.upstream.common.autoregressive import Apc, ApcConfig
from s3prl.utility.errors import UserError

from .expert import MODEL
from .predictive import PredictivePretrainExpert


class AutoregressivePretrainExpert(PredictivePretrainExpert):
    """Predicts, from all frames up to now, the one `task.n_future` frames ahead.

    Subclasses say whether the prediction passes a code book (`quantised`).
    """

    paras = ApcConfig
    quantised: bool

    @property
    def least_frames(self) -> int:
        """Of an utterance that is of use: with fewer there is nothing ahead to predict."""
        return 1 + self.task.n_future

    def build(self, paras: ApcConfig, dim: int) -> Apc:
        """See PredictivePretrainExpert.

        Raises:
            UserError: a code book where there should be none, or none where there should be one.
        """
        if (paras.vq is not None) != self.quantised:
            wrong = "needs a" if self.quantised else "takes no"
            name, other = ("VQ-APC", "apc") if self.quantised else ("APC", "vq_apc")
            raise UserError(
                f"{name} {wrong} code book: {MODEL}.model.paras.vq. The other method is -u {other}."
            )
        return Apc(paras, dim)

    def predict(self, features: Tensor, frames: Sequence[int]) -> tuple[Tensor, Tensor, Tensor, list[int]]:
        """See PredictivePretrainExpert; the last frames have nothing ahead of them and are not run."""
        ahead = self.task.n_future
        known = [max(count - ahead, 0) for count in frames]
        hidden = self.model(features[:, :-ahead], known)[-1]
        return hidden, self.model.prediction(hidden), features[:, ahead:], known
