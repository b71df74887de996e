"""The base of every `UpstreamPretrainExpert`: what the runner asks of a method, with the usual answers."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from s3prl.utility.config import load_yaml
from s3prl.utility.errors import UserError
from s3prl.utility.typed import typed
from s3prl.utility.weights import load_weights

from .data import DataRc
from .front import on_device
from .pictures import image

DATARC = "config.pretrain_expert.datarc"
MODEL = "config.upstream_config"  # how errors name the configuration of the model

Records = dict[str, list]


class PretrainExpert(nn.Module):
    """A method of pre-training. A subclass builds `self.model`, and implements two methods:

    - `get_train_dataloader()`: a DataLoader, such as `training_loader` of data.py;
    - `forward(data, records, **kwargs) -> (loss, records)`: the loss of a batch that `encode` has prepared.

    Attributes:
        model: everything that is trained.
        parts: the trained modules by the names that a checkpoint gives their weights.
        pictures: spectrograms [frames, dim] of the first utterance of the latest batch, for TensorBoard.
        datarc: the checked section of this name; upstream_config: the configuration of the model.
    """

    model: nn.Module

    def __init__(
        self,
        datarc: Mapping[str, Any],
        upstream_config: Mapping[str, Any] | str | Path,
        device: str | torch.device = "cpu",
        multi_gpu: bool = False,
        **kwargs: Any,
    ) -> None:
        """
        Args:
            datarc: `pretrain_expert.datarc` of the runner's config.
            upstream_config: the configuration of the model, or the path of its YAML file.
            device: where it is trained.
            multi_gpu: not used: several processes train one model, whatever the method.

        Raises:
            UserError: a field that does not exist or cannot work.
        """
        super().__init__()
        given = load_yaml(upstream_config) if isinstance(upstream_config, (str, Path)) else upstream_config
        self.datarc = typed(DataRc, datarc, DATARC)
        self.upstream_config: dict[str, Any] = deepcopy(dict(given))
        self.device = torch.device(device)
        self.pictures: dict[str, Tensor] = {}

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The trained modules by their entries in a checkpoint."""
        return {"model": self.model}

    def get_train_dataloader(self) -> DataLoader:
        """The batches of the training set."""
        raise NotImplementedError(f"{type(self).__module__} has no get_train_dataloader().")

    def encode(self, batch: Any) -> Any:
        """What `forward` takes, from a batch of the loader: all that does not depend on what is learned.

        Called without gradients, under the precision of the run.
        """
        return on_device(batch, self.device)

    def log_records(
        self, records: Records, logger: Any, prefix: str, global_step: int, **kwargs: Any
    ) -> None:
        """Write the means of the records, and the pictures of the latest batch.

        Args:
            records: scalars by name, of all processes since the last log.
            logger: like a SummaryWriter of TensorBoard.
            prefix: of every tag, such as `tera/train-`.
            global_step: updates done.
        """
        for name, values in records.items():
            if values:
                mean = torch.stack([torch.as_tensor(value, dtype=torch.float32) for value in values]).mean()
                logger.add_scalar(f"{prefix}{name}", mean.item(), global_step=global_step)
        if getattr(logger, "shows_images", True):
            for name, spectrogram in self.pictures.items():
                logger.add_image(f"{prefix}{name}", image(spectrogram), global_step=global_step)

    def load_model(self, states: Mapping[str, Any]) -> None:
        """Take the weights of a checkpoint.

        Raises:
            UserError: it has none of this method, or they do not fit the configuration of the model.
        """
        for name, module in self.parts.items():
            if not isinstance(states.get(name), Mapping):
                raise UserError(
                    f"The checkpoint has no weights '{name}', so it is of another method; it holds: "
                    f"{', '.join(map(str, states))}."
                )
            load_weights(module, states[name], f"the checkpoint ({name})")

    def add_state_to_save(self, all_states: dict[str, Any]) -> dict[str, Any]:
        """What a checkpoint holds of the method beside the weights of its parts, added to `all_states`."""
        all_states["Upstream_Config"] = self.upstream_config
        return all_states
