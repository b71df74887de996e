"""The ER task of SUPERB (Yang et al., 2021): four emotions on IEMOCAP, five folds, scored by accuracy."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from s3prl.utility.errors import UserError
from s3prl.utility.paths import find_path
from s3prl.utility.typed import choice, within

from ..common import lists
from ..common.configured import WHERE, ConfiguredUtteranceTask
from ..common.corpora import iemocap
from ..common.dataset import LoaderSettings, Size
from ..common.items import Item
from ..common.task import Records

FOLD_FIELD = f"{WHERE}.test_fold"
UNUSED_HEAD = "DeepModel"  # a block of the public config, which could not be selected there either


@dataclass(kw_only=True)
class Settings(LoaderSettings):
    """`datarc` of an ER config."""

    root: str
    test_fold: str = iemocap.FOLDS[0]
    valid_ratio: Annotated[float, within(0, 1)] = 0.2
    meta_data: str | None = None
    pre_load: bool = True  # without effect: recordings are read when a batch needs them
    train_batch_size: Size = 4
    eval_batch_size: Size = 4
    lists: dict[str, str] | None = None  # split -> CSV or JSONL, in place of the corpus


class DownstreamExpert(ConfiguredUtteranceTask):
    """IEMOCAP, one session of which is tested; or lists of your own."""

    name = "emotion"
    splits = iemocap.SPLITS
    settings_kind = Settings
    labels = iemocap.EMOTIONS

    def __init__(
        self,
        upstream_dim: int,
        downstream_expert: dict,
        downstream_variant: str | None = None,
        overridden: Iterable[str] = (),
        **options: Any,
    ) -> None:
        """
        Args:
            upstream_dim: size of a feature frame.
            downstream_expert: the block of that name in the config; config.yaml explains its fields.
            downstream_variant: the fold, which counts before the config's `test_fold`.
            overridden: fields of the config that the user has set with -o.
            options: of Task.

        Raises:
            UserError: a field of the config is unknown or has an impossible value, or there is no such fold.
        """
        settings, _ = self.read_config(downstream_expert)
        self.fold = _fold(settings, downstream_variant, overridden)
        super().__init__(upstream_dim, downstream_expert, **options)
        if self.fold is not None:
            self.name = f"emotion-{self.fold}"

    @classmethod
    def read_config(cls, downstream_expert: dict[str, Any]) -> tuple[Settings, dict[str, Any]]:
        """Of Configured, without the head that is not used."""
        settings, modelrc = super().read_config(downstream_expert)
        return settings, {name: value for name, value in modelrc.items() if name != UNUSED_HEAD}

    @classmethod
    def check_corpus(cls, settings: Settings, splits: list[str], launch_dir: str | None) -> None:
        """Find missing folders, and a fold or split that does not exist."""
        fold_named(settings.test_fold, FOLD_FIELD)
        for split in splits:
            choice(split, iemocap.SPLITS, "The split")
        meta_data = None if settings.meta_data is None else find_path(settings.meta_data, launch_dir)
        iemocap.check_folder(find_path(settings.root, launch_dir), meta_data)

    def items(self, split: str) -> list[Item]:
        """The utterances of "train", "dev" or "test"."""
        settings = self.settings
        if self.fold is None:
            return lists.items(self.list_of(split))
        meta_data: Path | None = None if settings.meta_data is None else self.find(settings.meta_data)
        return iemocap.items(self.find(settings.root), split, self.fold, settings.valid_ratio, meta_data)

    def write_predictions(self, split: str, records: Records) -> None:
        """`<split>_<fold>_predict.txt` and `<split>_<fold>_truth.txt`, lines `<file> <emotion>`."""
        super().write_predictions(split if self.fold is None else f"{split}_{self.fold}", records)


def fold_named(name: str, where: str) -> str:
    """One of the five folds, also written as `fold 1`; raises a UserError for anything else."""
    return choice(name.replace(" ", ""), iemocap.FOLDS, where)


def _fold(settings: Settings, variant: str | None, overridden: Iterable[str]) -> str | None:
    """The fold that -v or the config names; None with lists of your own."""
    if settings.lists is not None:
        if variant is not None:
            raise UserError(
                f"-v {variant}: {WHERE}.lists names the splits, so there are no folds. Leave -v out."
            )
        return None
    configured = fold_named(settings.test_fold, FOLD_FIELD)
    if variant is None:
        return configured
    fold = fold_named(variant, "-v")
    if FOLD_FIELD in overridden and fold != configured:
        raise UserError(
            f"-v {variant} and -o config.{FOLD_FIELD}={settings.test_fold} differ. Give one of them."
        )
    return fold
