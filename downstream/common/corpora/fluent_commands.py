"""The layout of Fluent Speech Commands (Lugosch et al., 2019).

`data/<split>_data.csv` lists the recordings (`wavs/speakers/<speaker>/<recording>.wav`) with the three slots
of their intent.
"""

from pathlib import Path

from s3prl.utility.commands import command_line
from s3prl.utility.errors import UserError
from s3prl.utility.recordings import Recording
from s3prl.utility.typed import choice

from ..items import Item
from ..lists import Row, read_list

DOWNLOAD_PAGE = (
    "https://fluent.ai/fluent-speech-commands-a-dataset-for-spoken-language-understanding-research/"
)
SLOTS = ("action", "object", "location")
TABLES = {"train": "train_data.csv", "dev": "valid_data.csv", "test": "test_data.csv"}


def items(root: Path, split: str) -> list[Item]:
    """The recordings of "train", "dev" or "test", in the order of the corpus.

    Their labels are tuples, as of `intent`.

    Raises:
        UserError: the corpus is not there, or its table lacks a column or a value.
    """
    return [
        Item(Path(row.fields["path"]).stem, Recording(root / row.fields["path"]), intent(row))
        for row in read_list(table(root, split), SLOTS)
    ]


def intent(row: Row) -> tuple[str, ...]:
    """The action, object and location of a row."""
    return tuple(str(row.fields[slot]) for slot in SLOTS)


def table(root: Path, split: str) -> Path:
    """Where the recordings of a split are listed.

    Raises:
        UserError: no such split, or its table is not there; with the ways to get the data.
    """
    path = root / "data" / TABLES[choice(split, TABLES, "The split")]
    if path.is_file() and (root / "wavs").is_dir():
        return path
    if not root.is_dir():
        found = "That folder does not exist."
    else:
        missing = "wavs" if path.is_file() else f"data/{path.name}"
        found = f"It lacks {missing}. Is the archive fully extracted?"
    raise UserError(
        f"Fluent Speech Commands was looked for in {root.absolute()}. {found} Download it from "
        f"{DOWNLOAD_PAGE} and set downstream_expert.datarc.file_path (or the variable S3PRL_CORPORA, the "
        "folder that holds fluent_speech_commands_dataset); or make the miniature corpus with "
        f"`{command_line('corpora')} fluent_commands --output data/mini` and choose "
        "`-c downstream/fluent_commands/mini.yaml`."
    )
