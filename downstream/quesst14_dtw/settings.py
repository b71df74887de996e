"""The config of the search, and what in it excludes something else."""

import math
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from s3prl.upstream.cache.budget import parse_size
from s3prl.utility.errors import UserError
from s3prl.utility.typed import Bound, at_least, choice, typed

from ..common.dataset import Size
from ..common.dtw import DISTANCES
from ..common.dtw.options import Options

WHERE = "downstream_expert"


@dataclass
class Data:
    """`datarc`."""

    dataset_root: str
    languages: list[str] | None = field(default_factory=lambda: ["nnenglish"])
    batch_size: Size = 1
    num_workers: Annotated[int, at_least(0)] = 8

    @property
    def train_batch_size(self) -> int:
        """Of LoaderSettings; nothing is trained."""
        return self.batch_size

    eval_batch_size = train_batch_size


@dataclass
class Matching:
    """`dtwrc`."""

    layers: Literal["mean", "all"] | list[int] = "mean"
    dist_method: str = "cosine_exp"
    minmax_norm: bool = True
    step_pattern: str = "asymmetric"
    subsequence: bool = True

    @property
    def options(self) -> Options:
        """What the comparison needs to know."""
        return Options(self.dist_method, self.minmax_norm, self.step_pattern, self.subsequence)


@dataclass
class Settings:
    """`downstream_expert`; config.yaml explains its fields."""

    datarc: Data
    dtwrc: Matching = field(default_factory=Matching)
    max_workers: Size | None = None
    feature_normalization: bool = True
    silence_frame: Annotated[int, at_least(0)] | None = None
    threshold: Annotated[float, Bound(math.isfinite, "a finite number")] = 2.0
    kept_features: str | int = "4G"

    @classmethod
    def read(cls, downstream_expert: dict[str, Any]) -> "Settings":
        """The block of that name in a config.

        Raises:
            UserError: a field is unknown or impossible, or excludes another one.
        """
        settings = typed(cls, downstream_expert, WHERE)
        choice(settings.dtwrc.dist_method, DISTANCES, f"{WHERE}.dtwrc.dist_method")
        settings.dtwrc.options.check()
        if settings.feature_normalization and settings.dtwrc.dist_method == "cosine_neg_log":
            raise UserError(
                f"{WHERE}.dtwrc.dist_method=cosine_neg_log takes the logarithm of a similarity, which is "
                f"negative for some normalised features. Set {WHERE}.feature_normalization=False, or choose "
                "another distance."
            )
        return settings

    @property
    def deciding(self) -> dict[str, Any]:
        """The fields that decide the scores of a layer."""
        fields = asdict(self)
        for name in ("max_workers", "kept_features", "threshold"):
            del fields[name]
        return {**fields, "datarc": {"languages": self.datarc.languages}}

    def __post_init__(self) -> None:
        self.kept_bytes = parse_size(self.kept_features, f"{WHERE}.kept_features")

    def chosen_layers(self, layers: int) -> list[int] | None:
        """Numbers of the layers that are searched, each alone, of `layers` there are; None: their mean.

        Raises:
            UserError: there is no such layer.
        """
        wanted = self.dtwrc.layers
        if wanted == "mean":
            return None
        if wanted == "all":
            return list(range(layers))
        where = f"{WHERE}.dtwrc.layers"
        if not wanted:
            raise UserError(f"{where} is an empty list. Name layers, or take 'mean' or 'all'.")
        for number in wanted:
            if not -layers <= number < layers:
                raise UserError(f"{where}: there is no layer {number}. The layers are 0 to {layers - 1}.")
        return sorted({number % layers for number in wanted})

    def check_silence(self, dim: int) -> None:
        """Raise a UserError where `silence_frame` is none of the dimensions of a frame."""
        if self.silence_frame is not None and self.silence_frame >= dim:
            raise UserError(
                f"{WHERE}.silence_frame={self.silence_frame}: a frame of this upstream has the dimensions 0 "
                f"to {dim - 1}."
            )
