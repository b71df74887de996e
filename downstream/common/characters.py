"""Characters to numbers and back, by a dictionary file in fairseq's order.

A dictionary file has one symbol a line (a count may follow it). The first four numbers are `<s>` (the CTC
blank), `<pad>`, `</s>` (which ends every target) and `<unk>`; they are added when the file does not list
them. Words are spelt with `|` after each of them: HELLO WORLD is `H E L L O | W O R L D |`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from s3prl.utility.errors import UserError

SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
BOUNDARY = "|"


class CharacterDictionary:
    """The output symbols of a character recogniser; a `TextEncoder` (see encoders.py)."""

    def __init__(self, symbols: Sequence[str]) -> None:
        self.symbols = list(symbols)
        self._index = {symbol: index for index, symbol in enumerate(self.symbols)}
        self.blank, self.pad, self.eos, self.unk = (self._index[symbol] for symbol in SPECIALS)

    @classmethod
    def from_file(cls, path: Path) -> "CharacterDictionary":
        """Read a dictionary file.

        Raises:
            UserError: the file is missing, lacks `|`, or has a symbol twice.
        """
        if not path.is_file():
            raise UserError(
                f"There is no dictionary {path} (downstream_expert.datarc.dict_path). "
                "The one of LibriSpeech is downstream/asr/char.dict."
            )
        symbols = [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        if symbols[: len(SPECIALS)] != list(SPECIALS):
            symbols = [*SPECIALS, *symbols]
        repeated = [symbol for symbol, count in Counter(symbols).items() if count > 1]
        if repeated or BOUNDARY not in symbols:
            problem = f"lists {repeated[0]} twice" if repeated else f"lacks the word boundary {BOUNDARY}"
            raise UserError(f"The dictionary {path} {problem}. It needs every symbol once, one a line.")
        return cls(symbols)

    def __len__(self) -> int:
        return len(self.symbols)

    def index(self, symbol: str) -> int | None:
        """The number of a symbol, None when the dictionary lacks it."""
        return self._index.get(symbol)

    def encode(self, text: str) -> np.ndarray:
        """int64 [characters + 1]: the spelling of a transcript, ended by `</s>`."""
        numbers = [self._index.get(unit, self.unk) for unit in spell(text)]
        return np.array([*numbers, self.eos], dtype=np.int64)

    def units(self, numbers: Iterable[int]) -> list[str]:
        """The symbols of a decoded sequence without `<s>`, `<pad>` and `</s>`."""
        hidden = (self.blank, self.pad, self.eos)
        return [self.symbols[number] for number in numbers if number not in hidden]

    def decode(self, numbers: Iterable[int]) -> str:
        """The words that a decoded sequence spells."""
        return " ".join(words_of(self.units(numbers)))

    def unknown(self, texts: Iterable[str]) -> Counter:
        """How often each character that the dictionary lacks occurs in `texts`."""
        joined = "".join(texts)
        return Counter({c: joined.count(c) for c in set(joined) if not c.isspace() and c not in self._index})


def spell(text: str) -> list[str]:
    """HELLO YOU -> H E L L O | Y O U |, as a list."""
    return [unit for word in text.split() for unit in (*word, BOUNDARY)]


def words_of(units: Iterable[str]) -> list[str]:
    """The words that a sequence of symbols spells."""
    return "".join(units).replace(BOUNDARY, " ").split()
