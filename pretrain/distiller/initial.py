"""How a student begins: as the original's, or with the first modules of its teacher."""

from collections.abc import Mapping

from torch import Tensor, nn

from s3prl.upstream.common.fairseq_format.weights import transformers_name
from s3prl.upstream.distiller.model import DistillerModel
from s3prl.utility.errors import UserError
from s3prl.utility.weights import listed

from ..common.expert import MODEL
from .config import StudentConfig
from .teacher import Teacher

# Modules of a student, and what the transformers library calls those of its teacher.
CONVOLUTIONS, PROJECTION = "feature_extractor.", "post_extract_proj."
POSITIONS = "encoder.pos_conv."
LIBRARY = {PROJECTION: "feature_projection.projection.", POSITIONS: "encoder.pos_conv_embed."}


SPREAD = 0.02  # of the random weights of an encoder's linear layers, as in BERT


def initialise(student: DistillerModel, teacher: Teacher, config: StudentConfig) -> None:
    """Copy what the configuration says from the teacher; the rest of the encoder begins like BERT.

    Raises:
        UserError: the teacher's modules are not built like the student's, or not of its size.
    """
    for layer in student.encoder.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=SPREAD)
            nn.init.zeros_(layer.bias)
    if config.init_teacher_conv_layers:
        source = _Source(teacher, "init_teacher_conv_layers")
        source.check("strides of the convolutions", *_strides(source.network, student))
        source.copy(student, CONVOLUTIONS)
        if config.encoder_embed_dim == source.dim:  # a student of another width learns its own projection
            source.copy(student, PROJECTION)
    if config.init_teacher_encoder_layers:
        source = _Source(teacher, "init_teacher_encoder_layers")
        source.check("attention heads", source.heads, config.encoder_attention_heads)
        source.check("layers with the norm in front", source.norm_first, config.layer_norm_first)
        for number in range(config.encoder_layers):
            source.copy(student, f"encoder.layers.{number}.")
        source.copy(student, POSITIONS)


class _Source:
    """The weights of a teacher by the names of a student; `field` asks for them."""

    def __init__(self, teacher: Teacher, field: str) -> None:
        self.teacher, self.field = teacher.name, field
        self.network = network = getattr(teacher.upstream, "model", None)
        self.config = getattr(network, "config", None)
        self.is_student = isinstance(network, DistillerModel)  # of an earlier distillation
        modules = ("feature_extractor", "feature_projection", "encoder")
        if not self.is_student and not all(
            isinstance(getattr(network, one, None), nn.Module) for one in modules
        ):
            raise self.refusal("it is not built like HuBERT")
        self.weights: Mapping[str, Tensor] = network.state_dict()

    def refusal(self, reason: str) -> UserError:
        """The error that the teacher does not fit."""
        return UserError(
            f"{MODEL}.distiller.{self.field}: the student cannot begin with modules of "
            f"{self.teacher}: {reason}. Set {self.field}: false, or give the student the teacher's sizes."
        )

    @property
    def dim(self) -> int:
        """The width of the teacher's layers."""
        return self.config.encoder_embed_dim if self.is_student else self.config.hidden_size

    @property
    def heads(self) -> int:
        """The teacher's attention heads."""
        return self.config.encoder_attention_heads if self.is_student else self.config.num_attention_heads

    @property
    def norm_first(self) -> bool:
        """Whether the teacher's layers are normalised before, not after, their residual connections."""
        return bool(getattr(self.config, "do_stable_layer_norm", False))

    def check(self, what: str, teachers: object, students: object) -> None:
        """Raise a UserError where a property that no shape shows is not the student's."""
        if teachers != students:
            raise self.refusal(f"{what}: {teachers} instead of {students}")

    def copy(self, student: DistillerModel, prefix: str) -> None:
        """Give the student's module of this prefix the weights of the teacher's."""
        prefix_there = prefix if self.is_student else LIBRARY.get(prefix, prefix)
        there = {name for name in self.weights if name.startswith(prefix_there)}
        own = {name: value for name, value in student.state_dict().items() if name.startswith(prefix)}
        names = {name: name if self.is_student else str(transformers_name(name)) for name in own}
        faults = {
            "it lacks": [name for name in own if names[name] not in there],
            "it also has": sorted(there - set(names.values())),
            "it has another shape of": [
                f"{name} {list(self.weights[names[name]].shape)} instead of {list(value.shape)}"
                for name, value in own.items()
                if names[name] in there and self.weights[names[name]].shape != value.shape
            ],
        }
        told = [f"{fault} {listed(which)}" for fault, which in faults.items() if which]
        if told:
            raise self.refusal("; ".join(told))
        student.load_state_dict({name: self.weights[names[name]] for name in own}, strict=False)


def _strides(network: nn.Module, student: DistillerModel) -> tuple[list[int], list[int]]:
    """The strides of the convolutions of both, of which weights say nothing."""
    there = [layer for layer in network.feature_extractor.modules() if isinstance(layer, nn.Conv1d)]
    return [layer.stride[0] for layer in there], [stride for _, _, stride in student.convolutions]
