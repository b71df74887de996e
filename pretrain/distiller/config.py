"""The sections of a model configuration."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from s3prl.upstream.distiller.config import DistillerConfig
from s3prl.utility.errors import UserError
from s3prl.utility.typed import Bound, at_least

LayerNumber = Annotated[int, at_least(0)]
Weight = Annotated[float, at_least(0)]
Unused = Annotated[Literal[0], Bound(lambda value: value == 0, "0 (other kinds of heads use it)")]


@dataclass(frozen=True)
class StudentConfig(DistillerConfig):
    """`distiller:`, the network of the student and what it learns."""

    pred_layer_id: list[LayerNumber] = field(default_factory=lambda: [4, 8, 12])  # 0: input of the first
    loss_type: Literal["l1", "l2"] = "l1"  # absolute or squared difference
    cosine_loss: Weight = 1.0  # weight of the cosine term
    feat_pen_loss: Weight = 0.0  # weight of the mean square of the convolutions' output
    init_teacher_conv_layers: bool = False  # start with the teacher's convolutions and projection
    init_teacher_encoder_layers: bool = False  # start with its positional convolution and first layers
    task_emb_size: Unused = 0
    layer_emb_size: Unused = 0

    def __post_init__(self) -> None:
        """Refuse heads that do not match the layers; raises a UserError."""
        super().__post_init__()
        if self.n_tasks != len(self.pred_layer_id):
            raise UserError(
                f"n_tasks is {self.n_tasks}, but pred_layer_id names {len(self.pred_layer_id)} layers of the "
                f"teacher ({self.pred_layer_id}), and each needs a prediction head of its own."
            )
        if len(set(self.pred_layer_id)) < len(self.pred_layer_id):
            raise UserError(f"pred_layer_id names a layer twice: {self.pred_layer_id}.")


@dataclass(frozen=True)
class TeacherConfig:
    """`teacher:`, any upstream."""

    model: str  # its name, as -u
    ckpt: str | None = None  # as -k, for names that end in _local, and for hf
    model_config: str | None = None  # as -g
    n_layers: int | None = None  # how many layers it must have; null: whatever it has


@dataclass(frozen=True)
class TaskConfig:
    """`task:`."""

    sequence_length: Annotated[int, at_least(0)] = 250000  # samples heard at most of an utterance; 0: all


@dataclass(frozen=True)
class AudioConfig:
    """`audio:`."""

    target_level: Literal["None"] | None = None  # waves are heard as they are


@dataclass(frozen=True)
class ModelConfig:
    """A whole model configuration."""

    distiller: StudentConfig
    teacher: TeacherConfig
    task: TaskConfig = TaskConfig()
    audio: AudioConfig = AudioConfig()
