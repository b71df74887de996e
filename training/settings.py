"""The section `runner` of a config: how long to train, how often to log, evaluate and save."""

from dataclasses import dataclass, field, fields
from typing import Annotated, Any

from s3prl.utility.errors import UserError
from s3prl.utility.typed import Bound, above, at_least, typed

Count = Annotated[int, at_least(1)]
Ratio = Annotated[float, Bound(lambda value: 0 < value <= 1, "in (0, 1]")]


@dataclass
class RunnerSettings:
    """`runner:` of a config."""

    total_steps: Count = 0  # optimizer updates; a task without training (QbE) has none
    gradient_clipping: Annotated[float, above(0)] = 1.0  # largest total norm
    gradient_accumulate_steps: Count = 1  # micro-batches per update
    log_step: Count = 100  # updates between training logs
    eval_step: Count = 1000  # updates between evaluations
    save_step: Count = 1000  # updates between states-*.ckpt
    max_keep: Count = 1  # states-*.ckpt to keep
    eval_dataloaders: list[str] = field(default_factory=lambda: ["dev"])
    train_dataloader: str = "train"
    fp16: bool = False  # autocast to float16 with loss scaling (GPU)
    bf16: bool = False  # autocast to bfloat16
    draw_curves: bool = True  # into curves.png and curves.pdf, at the end
    evaluate_ratio: Ratio = 1.0  # part of every evaluation split to run

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if self.fp16 and self.bf16:
            raise UserError("config.runner: fp16 and bf16 exclude each other. Switch one off.")

    @classmethod
    def from_config(cls, section: dict[str, Any] | None) -> "RunnerSettings":
        """Check and convert `runner:`; raises a UserError that names the field."""
        section = {name: value for name, value in (section or {}).items() if value is not None}
        if isinstance(section.get("eval_dataloaders"), str):
            section["eval_dataloaders"] = [section["eval_dataloaders"]]
        return typed(cls, section, "config.runner")


def runner_fields() -> tuple[str, ...]:
    """Names of all fields of `runner:`."""
    return tuple(item.name for item in fields(RunnerSettings))
