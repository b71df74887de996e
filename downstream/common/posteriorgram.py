"""A trained phone probe as an upstream: the posteriors of its classes, from its own upstream and head.

It needs both, so it belongs to the room above the upstreams; `hubconf.py` of a task gives it a name.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from s3prl.upstream.build import build_upstream, public_batch_of, task_name
from s3prl.upstream.encoding import Encoder
from s3prl.upstream.interfaces import UpstreamBase, device_of, traits_of
from s3prl.upstream.tools.selection import TrainedWeighting
from s3prl.utility.config import expand_variables
from s3prl.utility.errors import UserError
from s3prl.utility.phones import HOP
from s3prl.utility.plugins import check_stored
from s3prl.utility.weights import load_weights

from ..assembly import import_expert
from ..tasks import tasks
from .frame import fit_to_labels
from .heads import get_downstream_model, valid_frames
from .phone import PhoneTask

MODEL = "model."  # what names of the head's weights begin with in a task


class Posteriorgram(UpstreamBase):
    """Waves -> posteriors [batch, frames, classes], a frame for every label that the probe was trained on."""

    def __init__(self, ckpt: str | None, alone: bool = False, public_batch: bool = False) -> None:
        """
        Args:
            ckpt: of a phone probe, such as `result/downstream/NAME/dev-best.ckpt`.
            alone: give every utterance the values it has alone, in any batch.
            public_batch: compute the probe's upstream as the public S3PRL does for the batch; both are also
                done where the probe was trained so.

        Raises:
            UserError: it is no checkpoint of a phone probe, or cannot be read.
        """
        super().__init__()
        if ckpt is None:
            raise UserError(
                "A posteriorgram needs the checkpoint of a phone probe: -k "
                "result/downstream/NAME/dev-best.ckpt, after training with -d libri_phone, for example."
            )
        self.name = "Posteriorgram"
        trained = TrainedWeighting(Path(ckpt))
        arguments = trained.arguments
        task = _task_of(arguments, ckpt)
        self.alone = alone or bool(arguments.get("upstream_alone"))
        self.upstream = _upstream_of(trained, self.alone, public_batch)
        self.featurizer = trained.featurizer(Encoder(self.upstream, "cpu", self.alone))
        self.repeats = max(1, round(self.featurizer.downsample_rate / HOP))
        config = expand_variables(trained.state["Config"])
        _, modelrc = task.read_config(config.get("downstream_expert") or {})
        self.head = _head(self.featurizer.output_dim, modelrc, trained.state["Downstream"], ckpt)
        self.batch_invariant = self.alone or traits_of(self.upstream).batch_invariant

    def get_downsample_rates(self, key: str) -> int:
        """Samples per frame: about the 160 of the labels."""
        return round(self.featurizer.downsample_rate / self.repeats)

    @property
    def num_frames(self) -> Callable[[int], int] | None:
        """Of UpstreamBase: exact where the probe's upstream is."""
        return None if traits_of(self.upstream).num_frames is None else self._frames

    def _frames(self, samples: int) -> int:
        return self.repeats * self.upstream.num_frames(samples)

    def forward(self, wavs: list[Tensor]) -> dict[str, Any]:
        """Unpadded [samples] waves -> `hidden_states`: the posteriors alone; zeros behind an utterance."""
        outputs = Encoder(self.upstream, device_of(self), self.alone)(wavs)
        features = self.featurizer(wavs, outputs)
        frames = [self.repeats * len(feature) for feature in features]
        fitted = fit_to_labels(features, frames, self.repeats)
        scores, _ = self.head(fitted, frames)
        posteriors = scores.float().softmax(dim=-1)
        valid = valid_frames(frames, posteriors.size(1), posteriors.device)
        posteriors = posteriors.masked_fill(~valid[..., None], 0)
        return {"hidden_states": [posteriors], "last_hidden_state": posteriors}


def _task_of(arguments: Mapping[str, Any], ckpt: str) -> type[PhoneTask]:
    """The task of a checkpoint, which must be a phone probe of ours: a path would name code to run."""
    name = arguments.get("downstream")
    task = import_expert(name) if name in tasks() else None
    if task is None or not issubclass(task, PhoneTask):
        raise UserError(
            f"{ckpt} is a checkpoint of the task '{name}', not of a phone probe such as libri_phone."
        )
    return task


def _upstream_of(trained: TrainedWeighting, alone: bool, public_batch: bool) -> nn.Module:
    """The upstream that the probe was trained on, with its own weights where they were trained too."""
    arguments = trained.arguments
    check_stored(arguments.get("upstream"), trained.path)
    upstream = build_upstream(
        arguments["upstream"],
        arguments.get("upstream_ckpt"),
        arguments.get("upstream_model_config"),
        folders=trained.folders,
        alone=alone,
        public_batch=public_batch or (public_batch_of(arguments) and not alone),
        feature_selection=trained.feature_selection,
    )
    traits_of(upstream).for_task(task_name(arguments))
    trained.load_upstream(upstream)
    return upstream


def _head(dim: int, modelrc: dict[str, Any], state: Mapping[str, Tensor], ckpt: str) -> nn.Module:
    """The head with its weights; how many classes it has, the last of them says: the bias of the outputs."""
    weights = {name.removeprefix(MODEL): one for name, one in state.items() if name.startswith(MODEL)}
    if not weights:
        raise UserError(f"{ckpt} has no weights of a head, so it is no checkpoint of a phone probe.")
    head = get_downstream_model(dim, len(list(weights.values())[-1]), modelrc)
    load_weights(head, weights, f"{ckpt} (Downstream)")
    return head
