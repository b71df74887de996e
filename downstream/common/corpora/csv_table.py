"""Recordings of your own: a CSV file with the columns `path` and `label`, and `split` where it holds several.

path,label,split
wavs/7_anna.wav,7,train
"""

import csv
from pathlib import Path

from s3prl.utility.config import nearest
from s3prl.utility.errors import UserError
from s3prl.utility.recordings import Recording

from ..items import Item


def items(table: Path, split: str | None = None) -> list[Item]:
    """The rows of a split, in the order of the file.

    Args:
        table: the file; a relative path in it counts from its folder.
        split: take the rows that have this name in the column `split`; None takes all rows.

    Raises:
        UserError: there is no such file, column or split, or a cell is empty.
    """
    if not table.is_file():
        raise UserError(f"There is no table {table.absolute()}. Correct its path in the config.")
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        needed = ["path", "label"] if split is None else ["path", "label", "split"]
        _check_columns(table, needed, reader.fieldnames or [])
        rows = [(reader.line_num, row) for row in reader]
    for line, row in rows:
        empty = [name for name in needed if not (row[name] or "").strip()]
        if empty:
            raise UserError(f"{table}, line {line}: the column '{empty[0]}' is empty.")
    if split is not None:
        splits = sorted({row["split"] for _, row in rows})
        rows = [(line, row) for line, row in rows if row["split"] == split]
        if not rows:
            raise UserError(
                f"{table} has no split '{split}'.{nearest(split, splits)} It has: {', '.join(splits)}."
            )
    elif not rows:
        raise UserError(f"{table} has no rows behind its header.")
    return [
        Item(str(Path(row["path"]).with_suffix("")), Recording(table.parent / row["path"]), row["label"])
        for _, row in rows
    ]


def _check_columns(table: Path, needed: list[str], columns: list[str]) -> None:
    for name in needed:
        if name not in columns:
            raise UserError(
                f"{table} has no column '{name}'.{nearest(name, columns)} "
                f"Its first line must name the columns {', '.join(needed)}, not {', '.join(columns)}."
            )
