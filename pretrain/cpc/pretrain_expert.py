"""Pre-training of modified CPC: contrast the next frames of speech with others of the same speaker."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from s3prl.upstream.cpc.model import Cpc, Settings, num_frames
from s3prl.utility.typed import typed

from ..common.expert import MODEL, PretrainExpert
from .criterion import Criterion, CriterionSettings
from .data import TaskSettings, cut_loader


@dataclass(frozen=True)
class ModelConfig:
    """A model's configuration, config_model.yaml."""

    model: Settings = field(default_factory=Settings)
    criterion: CriterionSettings = field(default_factory=CriterionSettings)
    task: TaskSettings = field(default_factory=TaskSettings)


class UpstreamPretrainExpert(PretrainExpert):
    """CPC, and the criterion that trains it."""

    def __init__(
        self,
        datarc: Mapping[str, Any],
        upstream_config: Mapping[str, Any] | str | Path,
        device: str | torch.device = "cpu",
        multi_gpu: bool = False,
        **options: Any,
    ) -> None:
        """See PretrainExpert. Raises a UserError for a field that does not exist or cannot work."""
        super().__init__(datarc, upstream_config, device, multi_gpu, **options)
        self.config = typed(ModelConfig, self.upstream_config, MODEL)
        sizes = self.config.model
        context = sizes.hiddenEncoder if sizes.arMode == "no_ar" else sizes.hiddenGar
        network = Cpc(sizes)
        # Waves are quiet: PyTorch's random biases would outweigh them, so that behind the norm all frames
        # would be about the same, and for hundreds of updates nothing would be learned.
        for name, weight in network.gEncoder.named_parameters():
            if name.startswith("conv") and name.endswith("bias"):
                nn.init.zeros_(weight)
        self.model = nn.ModuleDict(
            {
                "weights": network,
                "cpcCriterion": Criterion(
                    self.config.criterion,
                    context,
                    sizes.hiddenEncoder,
                    num_frames(self.config.task.sizeWindow),
                    reverse=sizes.cpc_mode == "reverse",
                ),
            }
        )

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The trained modules by their entries in a checkpoint, which are those of the published one."""
        return dict(self.model.items())

    def get_train_dataloader(self) -> DataLoader:
        """Batches of cuts of the training set."""
        return cut_loader(self.datarc, self.config.task)

    def encode(self, batch: list[Tensor]) -> Tensor:
        """Waves of one length -> [batch, samples] on the device."""
        return torch.stack(batch).to(self.device, non_blocking=True)

    def forward(
        self, data: Tensor, records: dict[str, list], global_step: int = 0, log_step: int = 0, **kwargs: Any
    ) -> tuple[Tensor, dict[str, list]]:
        """The loss of cuts [batch, samples]; records get `accuracy_1` (one frame ahead), `accuracy_2`, ….

        By chance the loss is log(1 + negativeSamplingExt), and an accuracy 1 / (1 + negativeSamplingExt).
        """
        encoded, context = self.model["weights"](data)
        loss, accuracy = self.model["cpcCriterion"](context, encoded)
        for step, value in enumerate(accuracy.unbind(), start=1):
            records[f"accuracy_{step}"].append(value)
        return loss, records

    def add_state_to_save(self, all_states: dict[str, Any]) -> dict[str, Any]:
        """Adds `config` as CPC_audio writes it: all options in one mapping."""
        all_states = super().add_state_to_save(all_states)
        all_states["config"] = {
            name: value
            for section in (self.config.model, self.config.criterion, self.config.task)
            for name, value in asdict(section).items()
        }
        return all_states
