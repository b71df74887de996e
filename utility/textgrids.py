"""Times of words and phones in TextGrids, the files of Praat and of the Montreal Forced Aligner."""

from collections.abc import Iterator
from pathlib import Path

from s3prl.utility.errors import UserError, first_line
from s3prl.utility.paths import files_below

Segments = list[tuple[float, float, str]]  # start and end in seconds, and what is said


def textgrids_below(path: Path) -> Iterator[Path]:
    """The TextGrids of a folder at any depth; of a file, itself if it is one."""
    files = [path] if path.is_file() else files_below(path)
    return (file for file in files if file.suffix.lower() == ".textgrid")


def read_tier(path: Path, kind: str) -> Segments:
    """The intervals of the tier `phones` or `words`, or `<speaker> - phones`, also those without a label.

    Args:
        kind: "phone" or "word".

    Raises:
        UserError: the file is no TextGrid, or has no such tier.
    """
    from praatio import textgrid

    try:
        grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=True)
    except Exception as error:  # whatever a parser runs into in a file that is none
        raise UserError(f"{path} is not a TextGrid that can be read: {first_line(error)}") from error
    tiers = [name for name in grid.tierNames if name.lower().endswith((f"{kind}s", kind))]
    if not tiers:
        raise UserError(f"{path} has no tier '{kind}s'. It has: {', '.join(grid.tierNames) or 'none'}.")
    return [(entry.start, entry.end, entry.label) for entry in grid.getTier(tiers[0]).entries]
