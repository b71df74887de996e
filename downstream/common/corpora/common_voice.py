"""The layout of a language of Common Voice (Ardila et al., 2020): `clips/*.mp3`, `train.tsv`, `dev.tsv`, ...

A table has a first line with the names of its columns, of which `path` and `sentence` are read.
"""

import csv
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from s3prl.utility.config import nearest
from s3prl.utility.errors import UserError
from s3prl.utility.recordings import Recording

from ..items import Item

DOWNLOAD_PAGE = "https://commonvoice.mozilla.org/datasets"
APOSTROPHES = str.maketrans("’ʼ‘`´", "'''''")
COLUMNS = ("path", "sentence")


def items(root: Path, split: Sequence[str], field: str) -> list[Item]:
    """The clips of some tables with their sentences as they are written there, in the order of the tables.

    Args:
        root: the folder of a language.
        split: names of tables, without `.tsv`.
        field: of the config, which names the root.

    Raises:
        UserError: no such corpus or table, or the table lacks a column.
    """
    found = []
    for name in split:
        table = root / f"{name}.tsv"
        _check(root, table, field)
        with table.open(encoding="utf-8-sig", newline="") as file:
            # A quotation mark is part of the sentence.
            rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            columns = rows.fieldnames or []
            for column in COLUMNS:
                if column not in columns:
                    raise UserError(
                        f"{table} has no column '{column}'.{nearest(column, columns)} "
                        f"It has: {', '.join(columns) or 'none'}."
                    )
            found += [_item(root, row["path"], row["sentence"]) for row in rows if row["path"]]
    return found


def normalized(text: str) -> str:
    """A sentence in capitals: letters of any script, digits, apostrophes inside words, single blanks.

    `¿Qué  pasó?` is `QUÉ PASÓ`, `well-known` is `WELL KNOWN`, `l’eau` is `L'EAU`.
    """
    composed = unicodedata.normalize("NFC", text.translate(APOSTROPHES)).upper()
    kept = (char if char == "'" or unicodedata.category(char)[0] in "LMN" else " " for char in composed)
    words = (word.strip("'") for word in "".join(kept).split())
    return " ".join(word for word in words if word)


def _item(root: Path, path: str, sentence: str | None) -> Item:
    clip = Path(path if Path(path).suffix else f"{path}.mp3")  # the first releases leave the suffix out
    return Item(clip.stem, Recording(root / "clips" / clip), sentence or "")


def _check(root: Path, table: Path, field: str) -> None:
    if table.is_file() and (root / "clips").is_dir():
        return
    if not root.is_dir():
        found = "That folder does not exist."
    elif table.is_file():
        found = "It has no folder clips. Is the archive fully extracted?"
    else:
        tables = ", ".join(sorted(path.stem for path in root.glob("*.tsv"))) or "none"
        found = f"It has no {table.name}; its tables are: {tables}."
    raise UserError(
        f"Common Voice was looked for in {root.absolute()}. {found} Download a language from {DOWNLOAD_PAGE} "
        f"and set {field} to its folder, the one with clips, train.tsv, dev.tsv and test.tsv."
    )
