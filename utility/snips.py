"""Audio SNIPS (Lai et al., 2020): who speaks in which split, and how its sentences are written for SUPERB."""

import unicodedata
from collections.abc import Iterable, Iterator

SPEAKERS = {  # no speaker is in two splits
    "train": ("Ivy", "Joanna", "Joey", "Justin", "Kendra", "Kimberly", "Matthew", "Salli"),
    "valid": ("Aditi", "Amy", "Geraint", "Nicole"),
    "test": ("Brian", "Emma", "Raveena", "Russell"),
}
SENTENCES = {"train": 13_084, "valid": 700, "test": 700}  # that each speaker says
INTENTS = 7
SLOTS = 40  # with O
OUTSIDE = "O"  # the tag of a word in no slot
TEXTS, SLOTS_FILE, TRANSCRIPTS = "all.iob.snips.txt", "slots.txt", "all-trans.txt"

LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ'")
PUNCTUATION = frozenset("?!.,;:-–—…")  # words of nothing else are not spoken
_REPLACED = {"楽園追放": "EXPELLED", "官方杂志": "", "&": " AND ", "’": "'", "‘": "'", '"': " "}
_WITHOUT_DECOMPOSITION = str.maketrans({"Æ": "A", "Ð": "D", "Ø": "O", "Ł": "L"})

TaggedWord = tuple[str, str]


def spoken(words: Iterable[TaggedWord]) -> Iterator[TaggedWord]:
    """What is said of (word, tag) pairs: capitals without accents; & is AND; lone punctuation is left out.

    A word of which two become gives both its tag. Characters other than letters stay.
    """
    for word, tag in words:
        for written, said in _REPLACED.items():
            word = word.replace(written, said)
        for part in without_accents(word.upper()).split():
            if not set(part) <= PUNCTUATION:
                yield part, tag


def without_accents(word: str) -> str:
    """ÓLAFUR -> OLAFUR; Æ is written A, as the public S3PRL has it."""
    letters = unicodedata.normalize("NFKD", word.translate(_WITHOUT_DECOMPOSITION))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def tagged(words: Iterable[TaggedWord]) -> str:
    """One string: (PLAY, O) (THE, artist) (BEATLES, artist) -> `PLAY B-artist THE BEATLES E-artist`.

    Neighbours with the same tag are one value.
    """
    units: list[str] = []
    before = OUTSIDE
    for word, tag in [*words, ("", OUTSIDE)]:
        if tag != before:
            units += [f"E-{before}"] * (before != OUTSIDE) + [f"B-{tag}"] * (tag != OUTSIDE)
        units += [word] * bool(word)
        before = tag
    return " ".join(units)
