"""What the tasks on own data have in common: settings, a message that shows a list, known speakers."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from s3prl.utility.errors import UserError

from . import lists
from .configured import WHERE, Configured
from .dataset import LoaderSettings
from .lists import Row

SPLITS = ("train", "dev", "test")


@dataclass(kw_only=True)
class ListSettings(LoaderSettings):
    """The fields of `datarc` that the tasks on own data share."""

    lists: dict[str, str | None]  # split -> a CSV or JSONL file

    @property
    def given(self) -> dict[str, str]:
        """The lists that the config names."""
        return {split: path for split, path in self.lists.items() if path is not None}


class OwnLists(Configured):
    """The config of a task that has no corpus, only lists.

    Attributes:
        example: the first lines of such a list.
    """

    example: str
    splits = SPLITS
    settings: ListSettings

    @classmethod
    def check_data(cls, settings: ListSettings, splits: list[str], launch_dir: str | None) -> None:
        """Find mistakes in the lists of some splits.

        Raises:
            UserError: the first mistake found; where there is no list at all, with an example of one.
        """
        if not settings.given:
            example = "".join(f"    {line}\n" for line in cls.example.strip().splitlines())
            raise UserError(
                f"{cls.name} learns from recordings of your own, and the config names no list of them. Write "
                f"one CSV (or JSONL) file for each split, such as\n\n{example}\nwith paths that count from "
                "the folder of the list, and name the lists in the command:\n\n"
                f"    -o \"config.{WHERE}.lists={{'train': 'my/train.csv', 'dev': 'my/dev.csv', 'test': "
                "'my/test.csv'}\"\n\n"
                f"or in a copy of downstream/{cls.name}/config.yaml that you give with -c. "
                'downstream/README.md has a worked example under "Your own data".'
            )
        lists.check(settings.given, splits, cls.columns, launch_dir)

    def list_of(self, split: str) -> Path:
        """Of Configured; a split whose list is null has none."""
        return lists.list_of(self.settings.given, split, self.launch_dir)


def known_speakers(rows: Iterable[Row], trained: Iterable[Row]) -> tuple[int, int]:
    """How many speakers some rows have, and how many of them are among the rows of the training too."""
    speakers, heard = ({str(row.fields.get("speaker") or "") for row in group} for group in (rows, trained))
    return len(speakers - {""}), len((speakers & heard) - {""})
