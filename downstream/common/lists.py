"""Recordings of your own, listed in a CSV file or, one object a line, in a JSONL file.

    path,label,speaker                       {"path": "wavs/7_anna.wav", "label": "7", "speaker": "anna"}
    wavs/7_anna.wav,7,anna                   {"path": "talk.flac", "start": 3.5, "end": 5.0, "label": "4"}

A relative path counts from the folder of the list. `start` and `end`, in seconds, choose an excerpt. The
other columns are up to the task: `label`, `text`, several labels; any may be left unused.
"""

import csv
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from s3prl.utility.audio import SAMPLE_RATE
from s3prl.utility.config import nearest
from s3prl.utility.errors import UserError
from s3prl.utility.lengths import measure_once
from s3prl.utility.paths import find_path
from s3prl.utility.recordings import Recording

from .items import Item

JSON_LINES = (".jsonl", ".json")
SEPARATORS = {".tsv": "\t"}  # of other files: a comma


@dataclass(frozen=True)
class Row:
    """A row of a list.

    Attributes:
        name: unique in the list: the path as it is written there, without its suffix, and the bounds of an
            excerpt.
        path: of the audio file.
        fields: all columns by name; text, but for lists and objects of a JSONL file.
        line: where it stands in the file.
        start, end: of the excerpt, in seconds; None is the beginning or end of the file.
    """

    name: str
    path: Path
    fields: dict[str, Any]
    line: int
    start: float | None = None
    end: float | None = None

    @property
    def recording(self) -> Recording:
        """What to hear."""
        return Recording(self.path, self.start, self.end)


def items(path: Path, column: str = "label", split: str | None = None) -> list[Item]:
    """The rows of a list as items, in the order of the file, with the text in `column` as their labels.

    Raises:
        UserError: see `read_list`; or a row of a JSONL file has a list or an object there.
    """
    rows = read_list(path, [column], split)
    for row in rows:
        if not isinstance(row.fields[column], str):
            raise UserError(f"{path}, line {row.line}: '{column}' must be text, not {row.fields[column]!r}.")
    return [Item(row.name, row.recording, row.fields[column]) for row in rows]


def read_list(path: Path, columns: Sequence[str], split: str | None = None) -> list[Row]:
    """The rows of a list, in the order of the file.

    Args:
        path: a .csv, .tsv or .jsonl file.
        columns: that every row must fill, besides `path`.
        split: take the rows that have this name in the column `split`; None takes all rows.

    Raises:
        UserError: there is no such file, column or split, a cell is empty or impossible, or two rows are
            about the same excerpt.
    """
    if not path.is_file():
        raise UserError(f"There is no list {path.absolute()}. Correct its path in the config.")
    needed = ["path", *columns, *([] if split is None else ["split"])]
    try:
        read = _json_lines if path.suffix.lower() in JSON_LINES else _table
        found = list(read(path, needed))
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text ({error}). Save it as UTF-8.") from error
    if not found:
        raise UserError(f"{path} has no rows. It needs one for each recording, with {', '.join(needed)}.")
    if split is not None:
        splits = sorted({fields["split"] for _, fields in found})
        found = [(line, fields) for line, fields in found if fields["split"] == split]
        if not found:
            raise UserError(
                f"{path} has no split '{split}'.{nearest(split, splits)} It has: {', '.join(splits)}."
            )
    rows = [_row(path, line, fields) for line, fields in found]
    _check_doubles(path, rows)
    ambiguous = {name for name, count in Counter(row.name for row in rows).items() if count > 1}
    return [
        row if row.name not in ambiguous else Row(_name(row.fields["path"], row.start, row.end), *_rest(row))
        for row in rows
    ]


def transcripts(lists: Mapping[str, str], split: str, launch_dir: str | None = None) -> list[Item]:
    """The items of a split with their texts (the column `text`) and lengths, the longest first.

    Args:
        lists, launch_dir: see `check`.
    """
    found = with_lengths(items(list_of(lists, split, launch_dir), "text"), split)
    return sorted(found, key=lambda item: (-item.samples, item.name))


def with_lengths(items: Sequence[Item], title: str) -> list[Item]:
    """The items with their lengths, by which batches are made; 0 where the file cannot be read.

    Args:
        title: of the progress bar.
    """
    lengths = measure_once({item.recording.path for item in items}, title).lengths

    def samples(recording: Recording) -> int:
        total = lengths.get(str(Path(recording.path).absolute()), 0)
        stop = total if recording.stop is None else min(total, round(recording.stop * SAMPLE_RATE))
        return max(0, stop - round((recording.start or 0.0) * SAMPLE_RATE))

    return [replace(item, samples=samples(item.recording)) for item in items]


def check(
    lists: Mapping[str, str], splits: Iterable[str], columns: Sequence[str], launch_dir: str | None = None
) -> None:
    """Find mistakes in the lists of some splits, before any model is built.

    Args:
        lists: split -> path of its list, as in the config.
        columns: see `read_list`.
        launch_dir: where the experiment was started first; relative paths count from there.

    Raises:
        UserError: the first mistake found.
    """
    for split in splits:
        read_list(list_of(lists, split, launch_dir), columns)


def list_of(lists: Mapping[str, str], split: str, launch_dir: str | None = None) -> Path:
    """The list of a split.

    Raises:
        UserError: the config names none.
    """
    if split not in lists:
        raise UserError(
            f"The config names no list of the split '{split}'.{nearest(split, lists)} "
            f"It names lists of: {', '.join(lists) or 'no split'}."
        )
    return find_path(lists[split], launch_dir)


def _table(path: Path, needed: list[str]) -> Iterable[tuple[int, dict[str, Any]]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(
            file, delimiter=SEPARATORS.get(path.suffix.lower(), ","), skipinitialspace=True
        )
        columns = [name.strip() for name in reader.fieldnames or []]
        reader.fieldnames = columns
        for name in needed:
            if name not in columns:
                raise UserError(
                    f"{path} has no column '{name}'.{nearest(name, columns)} Its first line must name the "
                    f"columns {', '.join(needed)}, not {', '.join(columns) or 'nothing'}."
                )
        for row in reader:
            if None in row:
                raise UserError(
                    f"{path}, line {reader.line_num}: there are more cells than the {len(columns)} columns "
                    "of the first line. Put text with commas into double quotes."
                )
            fields = {name: (value or "").strip() for name, value in row.items()}
            _check_filled(path, reader.line_num, fields, needed)
            yield reader.line_num, fields


def _json_lines(path: Path, needed: list[str]) -> Iterable[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}, line {number} is not JSON ({error}).") from error
        if not isinstance(row, dict):
            raise UserError(f'{path}, line {number}: an object such as {{"path": ...}} was expected.')
        for name in needed:
            if name not in row:
                raise UserError(f"{path}, line {number} has no field '{name}'.{nearest(name, row)}")
        fields = {name: _plain(value) for name, value in row.items()}
        _check_filled(path, number, fields, needed)
        yield number, fields


def _plain(value: Any) -> Any:
    """Numbers as the text that they are in a CSV file; lists and objects as they are."""
    if isinstance(value, str):
        return value.strip()
    return value if isinstance(value, (list, dict)) else "" if value is None else str(value)


def _check_filled(path: Path, line: int, fields: dict[str, Any], needed: Iterable[str]) -> None:
    for name in needed:
        if fields[name] in ("", [], {}):
            raise UserError(f"{path}, line {line}: '{name}' is empty.")


def _row(path: Path, line: int, fields: dict[str, Any]) -> Row:
    start, end = (_seconds(path, line, name, fields.get(name)) for name in ("start", "end"))
    if start is not None and end is not None and end <= start:
        raise UserError(f"{path}, line {line}: it ends at {end:g} s, but starts at {start:g} s.")
    audio = str(fields["path"])
    name = _name(str(Path(audio).with_suffix("")), start, end)
    return Row(name, path.parent / Path(audio).expanduser(), fields, line, start, end)


def _rest(row: Row) -> tuple[Any, ...]:
    return row.path, row.fields, row.line, row.start, row.end


def _seconds(path: Path, line: int, name: str, value: Any) -> float | None:
    if value in (None, ""):
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise UserError(f"{path}, line {line}: '{name}' must be a time in seconds, not {value!r}.")
    return seconds


def _name(stem: str, start: float | None, end: float | None) -> str:
    if start is None and end is None:
        return stem
    return f"{stem}-{start or 0.0:.3f}-{'end' if end is None else f'{end:.3f}'}"


def _check_doubles(path: Path, rows: Iterable[Row]) -> None:
    lines: dict[tuple, int] = {}
    for row in rows:
        first = lines.setdefault((row.path, row.start, row.end), row.line)
        if first != row.line:
            raise UserError(
                f"{path} lists {row.fields['path']} in line {first} and again in line {row.line}."
            )
