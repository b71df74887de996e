"""Tables of audio lengths, `<folder>/<split>.csv`: made from headers alone, mended, shared by processes.

Columns: an index, file_path (relative to the corpus, beginning with the split), length (samples at 16 kHz),
label (empty); the longest first. The layout is that of the public S3PRL.
"""

import csv
import io
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from s3prl.utility.audio import AUDIO, AudioError, num_samples
from s3prl.utility.commands import command_line
from s3prl.utility.cpus import cpu_count
from s3prl.utility.download import hub_dir
from s3prl.utility.errors import UserError, explain
from s3prl.utility.files import write_atomically
from s3prl.utility.launcher import is_first
from s3prl.utility.locks import exclusive
from s3prl.utility.paths import files_below
from s3prl.utility.progress import followed

COLUMNS = ["", "file_path", "length", "label"]
CHECKED_ROWS = 32  # of a table that was there before, whose files are looked at again
NAMED_FILES = 10  # of the unreadable ones
FEW_FILES = 1000  # whose headers are read in no time
NOT_KEPT = "until then the lengths are worked out anew by every run"


@dataclass(frozen=True)
class Measured:
    """What the headers of some files say."""

    lengths: dict[str, int]  # path relative to the corpus -> samples
    unreadable: dict[str, str]  # path relative to the corpus -> why


def load_lengths(
    root: Path, split: str, table_dir: Path, extension: str | None = ".flac", n_jobs: int = -1
) -> dict[str, int]:
    """Lengths of all recordings of a split, the longest first: path relative to `root` -> samples at 16 kHz.

    `<table_dir>/<split>.csv` is used, made when it is not there, and mended when it does not fit the files
    (some are new or gone, or it is of another corpus); by one process when several start together. Where
    `table_dir` cannot be written, the table is kept in the user's cache. Unreadable recordings are left out
    and named in a warning.

    Args:
        root: folder of the corpus.
        split: folder below it.
        table_dir: where the tables are.
        extension: of the recordings, in lower or upper case, several with commas between them; None takes
            all kinds of audio.
        n_jobs: headers read at the same time; -1 for what suits the machine.

    Raises:
        UserError: no such folder, or no recording in it.
    """
    files = find_audio(root, split, extension)
    tables = [Path(folder) / f"{split}.csv" for folder in (table_dir, _cache_folder(root))]
    for table in tables:
        known, gone = _trusted_rows(table, root, files)
        if known.keys() == set(files) and not gone:
            return _longest_first(known)
    for table in tables:
        with suppress(OSError):  # not writable
            return _complete(table, root, files, n_jobs)
    print(
        f"warning: neither {table_dir} nor the cache can be written; lengths are not kept.", file=sys.stderr
    )
    measured = measure(root, files, n_jobs, split)
    _warn(measured, split)
    return measured.lengths


def find_audio(root: Path, split: str, extension: str | None = ".flac") -> list[str]:
    """Paths of a split's recordings relative to `root`, sorted; the case of the extension does not matter.

    Raises:
        UserError: no such folder, or no recording in it.
    """
    root = Path(root)
    if Path(split).is_absolute():
        raise UserError(
            f"{split} is a whole path: name a folder of the corpus {root}, such as train-clean-100."
        )
    if not (root / split).is_dir():
        found = ", ".join(_folders(root)) or "no folder"
        raise UserError(
            f"{root} has no folder {split}; it has: {found}. Check the corpus root and the split names."
        )
    files = _walk(root, split, extension)
    if not files:
        kind = "recording" if extension is None else f"{' or '.join(_suffixes(extension))} file"
        raise UserError(
            f"{root / split} has no {kind}. Choose the extension of its recordings with "
            "-a/--audio_extension, or check that the archive was unpacked there."
        )
    return files


def find_splits(root: Path, extension: str = ".flac") -> list[str]:
    """Folders of `root` that hold recordings, at any depth.

    Raises:
        UserError: there is none.
    """
    if not root.is_dir():
        raise UserError(f"The corpus {root} does not exist. Give its root with -i/--input_data.")
    splits = [folder for folder in _folders(root) if _walk(root, folder, extension)]
    if splits:
        return splits
    if any(path.suffix.lower() in _suffixes(extension) for path in root.iterdir()):
        raise UserError(
            f"{root} holds recordings itself and no split folder. Give the folder above it as the corpus "
            f"root: -i {root.resolve().parent} --splits {root.resolve().name}"
        )
    raise UserError(
        f"No folder of {root} has a {' or '.join(_suffixes(extension))} file. Check -i/--input_data, "
        "and choose the extension with -a/--audio_extension."
    )


def measure(root: Path, files: Sequence[str], n_jobs: int = -1, title: str = "lengths") -> Measured:
    """Read the headers of `files` (relative to `root`), showing progress; lengths are longest first."""

    def read(file: str) -> int | str:
        try:
            return num_samples(Path(root) / file)
        except AudioError as error:
            return str(error)

    if not files:
        return Measured({}, {})
    # A header costs a tenth of a millisecond of computing and some of waiting: threads, not processes.
    workers = min(32, 4 * cpu_count()) if n_jobs < 1 else n_jobs
    with ThreadPoolExecutor(workers) as pool:
        found = followed(pool.map(read, files), len(files), title, "lengths")
        results = dict(zip(files, found, strict=True))
    return Measured(
        _longest_first({file: found for file, found in results.items() if isinstance(found, int)}),
        {file: found for file, found in results.items() if isinstance(found, str)},
    )


def measure_once(files: Iterable[str | Path], title: str) -> Measured:
    """What the headers of any files say; the lengths of many are kept in the user's cache for the next time.

    Args:
        files: of any folders; in the result they are absolute paths.
        title: of the progress bar.
    """
    paths = sorted({str(Path(file).absolute()) for file in files})
    if len(paths) <= FEW_FILES:
        return measure(Path(), paths, title=title)
    name = sha256("\n".join(paths).encode()).hexdigest()[:16]
    table = _tables() / f"{name}.csv"
    known, gone = _trusted_rows(table, Path(), paths)
    if len(known) == len(paths) and not gone:
        return Measured(known, {})
    with suppress(OSError):  # not writable
        return _completed(table, Path(), paths, -1, title)
    return measure(Path(), paths, title=title)


def read_table(path: Path) -> dict[str, int]:
    """The rows of a table: path relative to the corpus -> samples.

    Raises:
        UserError: the file is no table of lengths.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {row["file_path"]: int(row["length"]) for row in csv.DictReader(file)}
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise UserError(
            f"{path} is not a table of lengths ({type(error).__name__}: {error}). Remove it and make it "
            f"again with: {command_line('lengths')}"
        ) from error


def write_table(path: Path, lengths: dict[str, int]) -> None:
    """Write a table atomically."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([index, name, samples, ""] for index, (name, samples) in enumerate(lengths.items()))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write(text.getvalue().encode("utf-8")))


def _trusted_rows(table: Path, root: Path, files: Sequence[str]) -> tuple[dict[str, int], int]:
    """Rows of the table about `files`, and how many rows it has that are of no use.

    When it is of a corpus with the same names and other lengths (made again, or converted), none is of use.
    """
    try:
        rows = read_table(table)
    except OSError:
        return {}, 0
    known = {file: rows[file] for file in files if file in rows}
    checked = list(known)[:: max(1, len(known) // CHECKED_ROWS)]
    try:
        if any(num_samples(root / file) != known[file] for file in checked):
            known = {}
    except AudioError:
        known = {}
    return known, len(rows) - len(known)


def _complete(table: Path, root: Path, files: Sequence[str], n_jobs: int) -> dict[str, int]:
    """Measure what the table lacks and keep it there; unreadable files are named in a warning."""
    measured = _completed(table, root, files, n_jobs, table.stem)
    _warn(measured, table.stem)
    return measured.lengths


def _completed(table: Path, root: Path, files: Sequence[str], n_jobs: int, title: str) -> Measured:
    """Measure what the table lacks and keep it there; another process may have done so meanwhile."""
    table.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(table.parent / f".{table.name}.lock", f"completes {table}"):
        known, gone = _trusted_rows(table, root, files)
        measured = measure(root, [file for file in files if file not in known], n_jobs, title)
        lengths = _longest_first({**known, **measured.lengths})
        if gone:
            print(
                f"warning: {gone} rows of {table} did not fit the files in {root}; it is brought up to date.",
                file=sys.stderr,
            )
        if gone or len(lengths) > len(known):
            try:
                write_table(table, lengths)
            except OSError as error:
                print(f"warning: {explain(error, NOT_KEPT) or error}", file=sys.stderr)
    return Measured(lengths, measured.unreadable)


def _warn(measured: Measured, split: str) -> None:
    """Name the unreadable files, once for all processes of a run."""
    for line in unreadable_lines(measured, split) if is_first() else ():
        print(f"warning: {line}", file=sys.stderr)


def unreadable_lines(measured: Measured, split: str) -> list[str]:
    """Lines that name the unreadable files; none when all could be read."""
    if not measured.unreadable:
        return []
    lines = [f"{split}: {len(measured.unreadable)} unreadable recordings are left out:"]
    lines += [f"  {why}" for why in list(measured.unreadable.values())[:NAMED_FILES]]
    if len(measured.unreadable) > NAMED_FILES:
        lines.append(f"  and {len(measured.unreadable) - NAMED_FILES} more")
    return lines


def _cache_folder(root: Path) -> Path:
    """Where tables are kept when their own folder cannot be written."""
    corpus = sha256(str(Path(root).resolve()).encode()).hexdigest()[:16]
    return _tables() / corpus


def _tables() -> Path:
    return hub_dir() / "s3prl_cache" / "len_for_bucket"


def _longest_first(lengths: dict[str, int]) -> dict[str, int]:
    return dict(sorted(lengths.items(), key=lambda row: (-row[1], row[0])))


def _folders(root: Path) -> list[str]:
    if not root.is_dir():
        return []
    return sorted(entry.name for entry in root.iterdir() if entry.is_dir() and entry.name[0] != ".")


def _suffixes(extension: str) -> tuple[str, ...]:
    """`wav,.FLAC` -> (".wav", ".flac")."""
    return tuple("." + part.strip().lower().lstrip(".") for part in extension.split(","))


def _walk(root: Path, split: str, extension: str | None) -> list[str]:
    suffixes = AUDIO if extension is None else _suffixes(extension)
    return sorted(
        path.relative_to(root).as_posix()
        for path in files_below(root / split)
        if path.name.lower().endswith(suffixes)
    )
