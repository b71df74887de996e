"""The statistics of a task's log-mel: gathered over batches, kept in a file per task."""

from collections.abc import Sequence
from pathlib import Path

import torch
import yaml
from torch import Tensor

from s3prl.utility.config import check_fields, load_yaml
from s3prl.utility.errors import UserError
from s3prl.utility.files import write_atomically
from s3prl.utility.paths import find_path

from .loading import Statistics

FOLDER = Path("result") / "m2d_statistics"


class RunningStatistics:
    """Mean and standard deviation over batches, every batch weighing the same."""

    def __init__(self) -> None:
        self._batches: list[Tensor] = []  # [2] each, left on their device, which goes on meanwhile

    def __len__(self) -> int:
        return len(self._batches)

    def add(self, values: Tensor) -> None:
        """Take in one batch of any shape."""
        self._batches.append(torch.stack(torch.var_mean(values.detach().float(), correction=0)))

    def result(self) -> Statistics:
        """The statistics of what was taken in."""
        variances, means = torch.stack(self._batches).cpu().double().unbind(1)
        variance = variances.mean() + means.var(correction=0)
        return Statistics(means.mean().item(), variance.sqrt().item())


def file_of(task: str) -> Path:
    """Where the statistics of a task are written, relative to the working folder."""
    return FOLDER / f"{task}.yaml"


def write(statistics: Statistics, task: str) -> Path:
    """Keep the statistics of a task; returns the file."""
    path = file_of(task)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(statistics._asdict(), sort_keys=False)
    write_atomically(path, lambda file: file.write(text.encode()))
    return path


def read(task: str, folders: Sequence[str | Path] = ()) -> tuple[Statistics, Path] | None:
    """The statistics kept for a task and their file, or None.

    Args:
        folders: where to look besides the working folder and the repository.

    Raises:
        UserError: the file is there but does not hold two numbers.
    """
    path = find_path(file_of(task), *folders)
    if not path.is_file():
        return None
    content = load_yaml(path)
    check_fields(content, Statistics._fields, str(path))
    if len(content) < 2:
        raise UserError(f"{path} must have the fields mean and std. Delete it, and run m2d_calcnorm again.")
    return Statistics.checked(**content, where=str(path)), path
