"""Text encoders: texts to the symbols of a CTC recogniser and back.

`CharacterEncoder(["A", "B"]).encode("AB")` is [3, 4, 1]: number 0 is `<pad>` (the CTC blank), 1 is `<eos>`
(which ends every target), 2 is `<unk>`, and the symbols of the vocabulary follow. A config chooses one with
its block `text`:

    text: {mode: word, vocab_file: downstream/ctc/vocab/phoneme.txt}
"""

import io
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Protocol

import numpy as np

from s3prl.utility.config import nearest
from s3prl.utility.errors import UserError
from s3prl.utility.snips import OUTSIDE
from s3prl.utility.typed import at_least

SPECIALS = ("<pad>", "<eos>", "<unk>")
PAD, EOS, UNK = range(3)


class TextEncoder(Protocol):
    """What a SequenceTask needs to know of its symbols.

    Attributes:
        blank: number of the CTC blank.
    """

    blank: int

    def __len__(self) -> int:
        """How many symbols there are, the blank included."""

    def encode(self, text: str) -> np.ndarray:
        """int64 [symbols]: the target of a text, without blanks."""

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of collapsed CTC output, from which blanks are removed."""

    def unknown(self, texts: Iterable[str]) -> Counter:
        """How often each symbol occurs in `texts` that becomes `<unk>`."""


class WordEncoder:
    """Units separated by blanks, such as words or phones."""

    blank = PAD
    unit, between = "word", " "

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.symbols = [*SPECIALS, *vocabulary]
        self._index = {symbol: number for number, symbol in enumerate(self.symbols)}

    @classmethod
    def from_content(cls, content: bytes, source: str) -> "WordEncoder":
        """Read a vocabulary, one symbol a line; blanks count, so that a line may be the blank itself.

        Args:
            content: of the file.
            source: its name, for messages.

        Raises:
            UserError: it is empty or no text, or has a symbol twice.
        """
        try:
            lines = content.decode("utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            raise UserError(f"The vocabulary {source} is not UTF-8 text ({error}).") from error
        symbols = [line.strip("\r") for line in lines if line.strip("\r")]
        if symbols[: len(SPECIALS)] == list(SPECIALS):
            symbols = symbols[len(SPECIALS) :]
        repeated = [symbol for symbol, count in Counter([*SPECIALS, *symbols]).items() if count > 1]
        if repeated or not symbols:
            problem = f"has the symbol {repeated[0]!r} twice" if repeated else "is empty"
            raise UserError(f"The vocabulary {source} {problem}. It needs every {cls.unit} once, one a line.")
        return cls(symbols)

    @classmethod
    def inferred(cls, texts: Iterable[str], size: int) -> bytes:
        """The content of a vocabulary file with every symbol of the texts, sorted, whatever `size`.

        Raises:
            UserError: the texts are empty.
        """
        symbols = sorted({symbol for text in texts for symbol in cls.split(text)})
        if not symbols:
            raise UserError("The training transcripts are empty: no vocabulary can be made of them.")
        return "".join(f"{symbol}\n" for symbol in symbols).encode()

    @staticmethod
    def split(text: str) -> list[str]:
        """The units of a text."""
        return text.split()

    def __len__(self) -> int:
        return len(self.symbols)

    def encode(self, text: str) -> np.ndarray:
        """int64 [units + 1]: the units of a text, ended by `<eos>`."""
        return np.array([*(self._index.get(unit, UNK) for unit in self.split(text)), EOS], dtype=np.int64)

    def decode(self, numbers: Iterable[int]) -> str:
        """The text without `<pad>` and `<eos>`."""
        return self.between.join(self.symbols[number] for number in numbers if number not in (PAD, EOS))

    def unknown(self, texts: Iterable[str]) -> Counter:
        """How often each unit that the vocabulary lacks occurs in `texts`."""
        counts = Counter(unit for text in texts for unit in self.split(text))
        return Counter({unit: count for unit, count in counts.items() if unit not in self._index})


class CharacterEncoder(WordEncoder):
    """Characters; words are separated by the character blank, where the vocabulary has it."""

    unit, between = "character", ""

    @staticmethod
    def split(text: str) -> list[str]:
        """The characters of a text, with one blank between words."""
        return list(" ".join(text.split()))


class SlotEncoder(CharacterEncoder):
    """Characters, and tags around the values of slots: `PLAY B-artist THE BEATLES E-artist`.

    The tags `B-slot` and `E-slot` are symbols that follow the characters.
    """

    unit = "character or tag"

    def __init__(self, vocabulary: Sequence[str]) -> None:
        """
        Args:
            vocabulary: characters and tags.
        """
        super().__init__(vocabulary)
        tags = {symbol for symbol in self.symbols if symbol[:2] in ("B-", "E-") and len(symbol) > 2}
        self._begins = {tag for tag in tags if tag[0] == "B"}
        self._ends = tags - self._begins

    def with_slots(self, names: Iterable[str]) -> "SlotEncoder":
        """The same symbols, followed by the tags of these slots, where they lack them."""
        new = [name for name in names if name not in self.slots]
        return SlotEncoder(
            [*self.symbols[len(SPECIALS) :], *(f"{side}-{name}" for name in new for side in "BE")]
        )

    @property
    def slots(self) -> set[str]:
        """Names of the slots that have tags."""
        return {tag[2:] for tag in self._begins}

    @staticmethod
    def slots_of_file(path: Path) -> list[str]:
        """The names in a file, one a line, but for `O`, which is no slot.

        Raises:
            UserError: the file is missing, lacks names, or has one twice.
        """
        if not path.is_file():
            raise UserError(f"There is no list of slots {path.absolute()}. Correct slots_file in the config.")
        lines = path.read_text(encoding="utf-8").split()
        names = [name for name in lines if name != OUTSIDE]
        repeated = [name for name, count in Counter(lines).items() if count > 1]
        if repeated or not names:
            problem = f"has {repeated[0]} twice" if repeated else "names no slot"
            raise UserError(f"The list of slots {path} {problem}. It needs every name once, one a line.")
        return names

    @staticmethod
    def split(text: str) -> list[str]:
        """The characters and tags of a text; a tag without its other half is read as characters."""
        tokens = text.split()
        there = set(tokens)
        begun = {token[2:] for token in there if token.startswith("B-")}
        slots = {slot for slot in begun if f"E-{slot}" in there}
        return _spelt(tokens, {f"{side}-{slot}" for slot in slots for side in "BE"})

    def encode(self, text: str) -> np.ndarray:
        """int64 [symbols + 1]: the characters and tags of a text, ended by `<eos>`."""
        units = _spelt(text.split(), self._begins | self._ends)
        return np.array([*(self._index.get(unit, UNK) for unit in units), EOS], dtype=np.int64)

    def decode(self, numbers: Iterable[int]) -> str:
        """The text without `<pad>` and `<eos>`, with blanks between tags and values."""
        spaced = {tag: f"{tag} " for tag in self._begins} | {tag: f" {tag}" for tag in self._ends}
        symbols = (self.symbols[number] for number in numbers if number not in (PAD, EOS))
        return " ".join("".join(spaced.get(symbol, symbol) for symbol in symbols).split())

    def unknown(self, texts: Iterable[str]) -> Counter:
        """How often each character that the vocabulary lacks occurs in `texts`.

        Raises:
            UserError: a text has a slot without tags here; it would never be found.
        """
        counts: Counter[str] = Counter()
        for text in texts:
            units = self.split(text)
            lacking = next((unit for unit in units if len(unit) > 1 and unit not in self._index), None)
            if lacking is not None:
                name, names = lacking[2:], sorted(self.slots)
                raise UserError(
                    f"The slot '{name}' of `{text}` is not among those of the training: {', '.join(names)}."
                    f"{nearest(name, names)} Correct the text, or add the slot to slots_file."
                )
            counts.update(unit for unit in units if unit not in self._index)
        return counts


def _spelt(tokens: Iterable[str], tags: set[str]) -> list[str]:
    """Characters and tags, with a blank between words, but none between a value and its tags."""
    units: list[str] = []
    for token in tokens:
        ends = token in tags and token[0] == "E"
        opened = bool(units) and units[-1] in tags and units[-1][0] == "B"
        if units and not ends and not opened:
            units.append(" ")
        units += [token] if token in tags else token
    return units


class SubwordEncoder:
    """Pieces of words, by a sentencepiece model whose first numbers are those of SPECIALS."""

    blank = PAD
    unit = "piece"

    def __init__(self, model: bytes) -> None:
        """
        Raises:
            RuntimeError: `model` is no sentencepiece model.
        """
        from sentencepiece import SentencePieceProcessor

        self._model = SentencePieceProcessor()
        self._model.LoadFromSerializedProto(model)

    @classmethod
    def from_content(cls, content: bytes, source: str) -> "SubwordEncoder":
        """Read a sentencepiece model.

        Args:
            content: of the file.
            source: its name, for messages.

        Raises:
            UserError: it is damaged, or its special pieces have other numbers.
        """
        try:
            encoder = cls(content)
        except RuntimeError as error:
            raise UserError(f"{source} is no sentencepiece model ({error}).") from error
        model = encoder._model
        if (model.pad_id(), model.eos_id(), model.unk_id()) != (PAD, EOS, UNK):
            raise UserError(
                f"{source}: <pad>, <eos> and <unk> must be pieces 0, 1 and 2. Train the model with "
                "--pad_id=0 --eos_id=1 --unk_id=2 --bos_id=-1 --eos_piece='<eos>'."
            )
        return encoder

    @classmethod
    def inferred(cls, texts: Iterable[str], size: int) -> bytes:
        """The content of a model file with `size` pieces, trained on the texts by byte-pair encoding.

        Raises:
            UserError: the texts do not give so many pieces.
        """
        from sentencepiece import SentencePieceTrainer

        written = io.BytesIO()
        try:
            SentencePieceTrainer.train(
                sentence_iterator=iter(texts),
                model_writer=written,
                vocab_size=size,
                model_type="bpe",
                character_coverage=1.0,
                pad_id=PAD,
                eos_id=EOS,
                unk_id=UNK,
                bos_id=-1,
                eos_piece=SPECIALS[EOS],
                num_threads=1,  # the same model every time
                minloglevel=2,
            )
        except RuntimeError as error:
            raise UserError(
                f"The training transcripts give no model of vocab_size {size}: {error}. Choose another size."
            ) from error
        return written.getvalue()

    def __len__(self) -> int:
        return self._model.GetPieceSize()

    def encode(self, text: str) -> np.ndarray:
        """int64 [pieces + 1]: the pieces of a text, ended by `<eos>`."""
        return np.array([*self._model.EncodeAsIds(text), EOS], dtype=np.int64)

    def decode(self, numbers: Iterable[int]) -> str:
        """The text without `<pad>` and `<eos>`."""
        return self._model.DecodeIds([number for number in numbers if number not in (PAD, EOS)])

    def unknown(self, texts: Iterable[str]) -> Counter:
        """How often each piece of `texts` that the model lacks occurs."""
        pieces = (piece for text in texts for piece in self._model.EncodeAsPieces(text))
        return Counter(piece for piece in pieces if self._model.PieceToId(piece) == UNK)


ENCODERS: dict[str, type] = {
    "character": CharacterEncoder,
    "character-slot": SlotEncoder,
    "word": WordEncoder,
    "subword": SubwordEncoder,
}


@dataclass
class EncoderSettings:
    """The block `text` of a config."""

    mode: Literal[tuple(ENCODERS)]
    vocab_file: str | None = None  # None: what the training transcripts give, kept in the experiment folder
    vocab_size: Annotated[int, at_least(4)] = 1000  # pieces of a subword model that is trained on them
    slots_file: str | None = None  # of mode character-slot: names of slots; None: those of the vocabulary

    def __post_init__(self) -> None:
        """Refuse slots where none are recognised."""
        if self.slots_file is not None and self.mode != "character-slot":
            raise UserError(f"slots_file needs the mode character-slot, not {self.mode}.")

    def encoder(
        self,
        find: Callable[[str], Path],
        settled: Callable[[str, Callable[[], bytes]], bytes],
        texts: Callable[[], Iterable[str]],
    ) -> TextEncoder:
        """The encoder that the block describes.

        Args:
            find: a path of the config.
            settled: keeps what is made from training data, see Task.settled.
            texts: the training transcripts.

        Raises:
            UserError: the vocabulary is missing or damaged, or the transcripts give none.
        """
        kind = ENCODERS[self.mode]
        if self.vocab_file is not None:
            found = self.from_file(find(self.vocab_file))
        else:
            name = "subword.model" if self.mode == "subword" else "vocabulary.txt"
            content = settled(name, lambda: kind.inferred(texts(), self.vocab_size))
            found = kind.from_content(content, name)
        slots = self.slots(find)
        return found.with_slots(slots) if slots else found

    def slots(self, find: Callable[[str], Path]) -> list[str]:
        """The names of slots in `slots_file`, if it is set.

        Args:
            find: a path of the config.

        Raises:
            UserError: the file is missing or damaged.
        """
        return [] if self.slots_file is None else SlotEncoder.slots_of_file(find(self.slots_file))

    def from_file(self, path: Path) -> TextEncoder:
        """The encoder with the vocabulary of this file.

        Raises:
            UserError: the file is missing or damaged.
        """
        if not path.is_file():
            raise UserError(f"There is no vocabulary {path.absolute()}. Correct vocab_file in the config.")
        return ENCODERS[self.mode].from_content(path.read_bytes(), str(path))
