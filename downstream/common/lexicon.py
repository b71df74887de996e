"""Pronunciation lexicons: words to phones, from files with lines `WORD PH PH` (.gz too)."""

import gzip
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from s3prl.utility.errors import UserError


class Lexicon:
    """How words are pronounced; words are compared in capitals."""

    def __init__(self, phones: Mapping[str, str]) -> None:
        """
        Args:
            phones: word in capitals -> phones, separated by blanks.
        """
        self._phones = dict(phones)

    @classmethod
    def from_files(cls, paths: Iterable[Path]) -> "Lexicon":
        """Read files in their order; the first pronunciation of a word wins.

        Raises:
            UserError: a file cannot be read.
        """
        phones: dict[str, str] = {}
        for path in paths:
            for line in _lines(path):
                word, *pronunciation = line.split() or [""]
                if pronunciation:
                    phones.setdefault(word.upper(), " ".join(pronunciation))
        return cls(phones)

    def __len__(self) -> int:
        return len(self._phones)

    def phones(self, text: str) -> str:
        """The phones of a text, separated by blanks; raises KeyError for an unknown word."""
        return " ".join(self._phones[word] for word in text.upper().split())

    def unknown(self, texts: Iterable[str]) -> Counter:
        """How often each word occurs in `texts` that the lexicon lacks."""
        counts = Counter(word for text in texts for word in text.upper().split())
        return Counter({word: count for word, count in counts.items() if word not in self._phones})


def _lines(path: Path) -> list[str]:
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        return content.decode("utf-8-sig").splitlines()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UserError(f"The lexicon {path} cannot be read ({error}).") from error
