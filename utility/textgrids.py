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
        UserError: the file is no TextGrid, has no such tier, or has those of several speakers.
    """
    from praatio import textgrid

    try:
        grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=True)
    except Exception as error:  # whatever a parser runs into in a file that is none
        raise UserError(f"{path} is not a TextGrid that can be read: {first_line(error)}") from error
    intervals = [tier for tier in grid.tiers if isinstance(tier, textgrid.IntervalTier)]
    tiers = [tier for tier in intervals if tier.name.lower().endswith((f"{kind}s", kind))]
    tiers = [tier for tier in tiers if tier.name.lower() in (f"{kind}s", kind)] or tiers
    if len(tiers) > 1:
        found = ", ".join(tier.name for tier in tiers)
        raise UserError(f"{path} has several tiers of {kind}s: {found}. Keep one, or call it '{kind}s'.")
    if not tiers:
        found = ", ".join(tier.name for tier in intervals) or "none of intervals"
        raise UserError(f"{path} has no tier '{kind}s'. It has: {found}.")
    return [(entry.start, entry.end, entry.label) for entry in tiers[0].entries]
