"""Text files with one utterance a line, `<utterance> <text>`, as Kaldi writes them."""

from collections.abc import Mapping
from pathlib import Path

from s3prl.utility.files import write_atomically


def add_to_ark(path: Path, texts: Mapping[str, str]) -> None:
    """Add texts behind those that are there."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(_line(utterance, text) for utterance, text in texts.items())


def write_ark(path: Path, texts: Mapping[str, str]) -> None:
    """Write the texts in the order of their utterance names; a reader never sees half a file."""
    lines = [_line(utterance, text) for utterance, text in sorted(texts.items())]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write("".join(lines).encode()))


def _line(utterance: str, text: str) -> str:
    return f"{utterance} {text}".rstrip() + "\n"
