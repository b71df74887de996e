"""The IC task of SUPERB (Yang et al., 2021): action, object and location of a command, scored by accuracy."""

from dataclasses import dataclass
from typing import Any

from s3prl.utility.paths import find_path

from ..common import lists
from ..common.configured import Configured
from ..common.corpora import fluent_commands
from ..common.corpora.fluent_commands import SLOTS
from ..common.dataset import LoaderSettings, Size
from ..common.items import Item
from ..common.slots import SlotsTask
from ..common.task import Records, mean_loss


@dataclass(kw_only=True)
class Settings(LoaderSettings):
    """`datarc` of an IC config."""

    file_path: str  # the folder of the corpus
    lists: dict[str, str] | None = None  # split -> CSV or JSONL, in place of the corpus
    train_batch_size: Size = 32
    eval_batch_size: Size = 32


class DownstreamExpert(Configured, SlotsTask):
    """Fluent Speech Commands; an utterance counts as right when all three slots are."""

    name = "fluent_commands"
    slots = columns = SLOTS
    settings_kind = Settings

    def __init__(self, upstream_dim: int, downstream_expert: dict, **options: Any) -> None:
        """
        Args:
            upstream_dim: size of a feature frame.
            downstream_expert: the block of that name in the config; config.yaml explains its fields.
            options: of Task.

        Raises:
            UserError: a field of the config is unknown or has an impossible value.
        """
        self.settings, modelrc = self.read_config(downstream_expert)
        super().__init__(upstream_dim, self.settings, modelrc, **options)

    @classmethod
    def check_corpus(cls, settings: Settings, splits: list[str], launch_dir: str | None) -> None:
        """Find missing files, and mistakes in the tables of the corpus."""
        for split in splits:
            fluent_commands.items(find_path(settings.file_path, launch_dir), split)

    def items(self, split: str) -> list[Item]:
        """The recordings of "train", "dev" or "test", or those of the list of a split."""
        if self.settings.lists is not None:
            rows = lists.read_list(self.list_of(split), SLOTS)
            return [Item(row.name, row.recording, fluent_commands.intent(row)) for row in rows]
        return fluent_commands.items(self.find(self.settings.file_path), split)

    def scores(self, split: str, records: Records) -> dict[str, float]:
        """Of SlotsTask, and the loss under the name that it has in the public S3PRL."""
        return {**super().scores(split, records), "intent_loss": mean_loss(records)}
