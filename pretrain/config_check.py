"""The arguments and the sections of a pre-training config: whether they can be, before anything is built."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from s3prl.training.config_check import Seed, check_optimizer, check_sections
from s3prl.training.settings import RunnerSettings, runner_fields
from s3prl.utility.config import check_fields
from s3prl.utility.errors import UserError
from s3prl.utility.typed import check_value

MODEL = "upstream_config"  # the section that -g names a file of
SECTIONS = ("runner", "optimizer", "scheduler", "pretrain_expert", MODEL)
OF_EVALUATIONS = ("eval_step", "eval_dataloaders", "train_dataloader", "evaluate_ratio")  # there are none
RUNNER_FIELDS = (*(name for name in runner_fields() if name not in OF_EVALUATIONS), "n_epochs")


@dataclass
class Arguments:
    """The arguments that an override or a checkpoint can set to something impossible."""

    override: str | None = None
    upstream: str | None = None
    expdir: str | None = None
    config: str | None = None
    upstream_config: str | None = None
    launch_dir: str | None = None
    overridden: list[str] = field(default_factory=list)
    seed: Seed = 1337
    bad_audio: Literal["error", "skip"] = "error"


def settings_and_epochs(section: Mapping[str, Any] | None) -> tuple[RunnerSettings, int]:
    """The section `runner`, and the epochs to train for; those are 0 where `total_steps` says how long.

    Raises:
        UserError: names the field; or there is neither.
    """
    fields = {name: value for name, value in (section or {}).items() if value is not None}
    check_fields(fields, RUNNER_FIELDS, "config.runner")
    epochs = max(0, check_value(fields.pop("n_epochs", 0), int, "config.runner.n_epochs"))
    if epochs:
        fields.pop("total_steps", None)
    settings = RunnerSettings.from_config({**fields, "eval_dataloaders": []})
    if not epochs and settings.total_steps < 1:
        raise UserError("config.runner needs total_steps or n_epochs, the length of the training.")
    return settings, epochs


def check_config(config: dict[str, Any]) -> None:
    """Refuse misspelt and missing sections, and fields of `runner` that cannot be.

    Raises:
        UserError: names the section or field and the nearest valid one.
    """
    check_sections(config, SECTIONS)
    settings_and_epochs(config.get("runner"))
    check_optimizer(config)
    if not isinstance((config.get("pretrain_expert") or {}).get("datarc"), dict):
        raise UserError(
            "config.pretrain_expert.datarc is missing: the section that names the data and the batch size."
        )
    if not config.get(MODEL):
        raise UserError("The configuration of the model (-g) is empty.")
