"""`downstream_expert` of an SD config; the fields are those of the public S3PRL."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from s3prl.utility.audio import SAMPLE_RATE
from s3prl.utility.commands import command_line
from s3prl.utility.errors import UserError
from s3prl.utility.paths import find_path
from s3prl.utility.typed import Bound, at_least, choice, within

from ..common.dataset import Size

SPLITS = ("train", "dev", "test")
RATE = Bound(lambda rate: rate == SAMPLE_RATE, f"{SAMPLE_RATE}, to which every recording is brought")
MOST_SPEAKERS = 6  # whose 720 orders the loss compares
LIBRIMIX = "https://github.com/ftshijt/LibriMix"


@dataclass
class Data:
    """`datarc`."""

    chunk_size: Size = 2000
    frame_shift: Size | None = None
    subsampling: Size = 1
    label_delay: Annotated[int, at_least(0)] = 0
    num_speakers: Annotated[int, within(1, MOST_SPEAKERS)] = 2
    rate: Annotated[int, RATE] = SAMPLE_RATE
    use_last_samples: bool = True


@dataclass
class Loading:
    """`loaderrc`; it is also the LoaderSettings of the task."""

    train_dir: str
    dev_dir: str
    test_dir: str
    train_batchsize: Size = 8
    eval_batchsize: Size = 1
    num_workers: Annotated[int, at_least(0)] = 8

    @property
    def train_batch_size(self) -> int:
        """Of LoaderSettings."""
        return self.train_batchsize

    @property
    def eval_batch_size(self) -> int:
        """Of LoaderSettings."""
        return self.eval_batchsize

    def folder(self, split: str, launch_dir: str | None) -> Path:
        """The data folder of a split.

        Raises:
            UserError: there is no such split, or no such folder.
        """
        field_name = f"{choice(split, SPLITS, 'The split')}_dir"
        folder = find_path(getattr(self, field_name), launch_dir)
        if not folder.is_dir():
            raise UserError(
                f"The data folder of the split '{split}' was looked for in {folder.absolute()}. That folder "
                f"does not exist. Make data folders of Libri2Mix ({LIBRIMIX}) or of other recordings with "
                f"`{command_line('diarization')}`, and set downstream_expert.loaderrc.{field_name}; or make "
                f"the miniature corpus with `{command_line('corpora')} libri2mix --output data/mini` and "
                "choose `-c downstream/diarization/mini.yaml`."
            )
        return folder


@dataclass
class Scoring:
    """`scorerc`."""

    save_predictions: bool = True


@dataclass
class Settings:
    """All blocks."""

    loaderrc: Loading
    datarc: Data = field(default_factory=Data)
    modelrc: dict = field(default_factory=dict)
    scorerc: Scoring = field(default_factory=Scoring)
