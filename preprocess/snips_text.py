"""How the sentences of SNIPS are written for recognition: in letters, as they are said.

book a table for 2 at 8:30 pm on jan 4th -> BOOK A TABLE FOR TWO AT EIGHT THIRTY PM ON JANUARY FOURTH
"""

import re
from collections.abc import Iterable, Iterator

from s3prl.utility.errors import UserError
from s3prl.utility.snips import LETTERS, TaggedWord, spoken

_MONTHS = {
    "JAN": "JANUARY", "FEB": "FEBRUARY", "MAR": "MARCH", "APR": "APRIL", "JUN": "JUNE", "JUL": "JULY",
    "AUG": "AUGUST", "SEP": "SEPTEMBER", "SEPT": "SEPTEMBER", "OCT": "OCTOBER", "NOV": "NOVEMBER",
    "DEC": "DECEMBER",
}  # fmt: skip
_SPECIAL = {
    "%": "PERCENT", "+": "PLUS", "=": "EQUALS", "@": "AT", "#": "NUMBER", "°": "DEGREES",
    "MR": "MISTER", "MRS": "MISSUS", "DR": "DOCTOR", "ST": "SAINT", "VS": "VERSUS", "FT": "FEATURING",
    "FEAT": "FEATURING", "PT": "PART", "VOL": "VOLUME",
}  # fmt: skip
_WRITTEN_OUT = _MONTHS | _SPECIAL
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)")
_ORDINAL = re.compile(r"(\d+)(?:ST|ND|RD|TH)")
_DECADE = re.compile(r"(\d+)'?S")
_NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?")
_MONEY = re.compile(rf"\$({_NUMBER.pattern})")
_PARTS = re.compile(rf"{_NUMBER.pattern}|[A-Z']+|[%+=@#°]")
_FIRST_YEAR, _LAST_YEAR = 1100, 2099  # numbers of four digits that are read as years


def normalized(words: Iterable[TaggedWord]) -> list[TaggedWord]:
    """Words in capitals and apostrophes only; where one becomes several, each keeps its tag.

    Raises:
        UserError: the package num2words is not installed.
    """
    return [(part, tag) for word, tag in spoken(words) for part in _said(word)]


def _said(word: str) -> Iterator[str]:
    """The words that a written word (in capitals) is read as."""
    for text in _read(word):
        kept = "".join(letter if letter in LETTERS else " " for letter in text.upper())
        yield from (part for part in kept.split() if part.strip("'"))


def _read(word: str) -> Iterator[str]:
    bare = word.strip('.,;:?!"()[]')
    if bare in _WRITTEN_OUT:
        yield _WRITTEN_OUT[bare]
    elif not any(letter.isdigit() for letter in bare):
        yield from (_WRITTEN_OUT.get(part, part) for part in _PARTS.findall(bare))
    elif match := _CLOCK.fullmatch(bare):
        yield _clock(int(match[1]), int(match[2]))
    elif match := _ORDINAL.fullmatch(bare):
        yield _in_words(match[1], "ordinal")
    elif match := _DECADE.fullmatch(bare):
        yield _plural(_number(match[1]))
    elif match := _MONEY.fullmatch(bare):
        yield f"{_number(match[1])} DOLLARS"
    elif _NUMBER.fullmatch(bare):
        yield _number(bare)
    else:
        yield from (
            _number(part) if part[0].isdigit() else _WRITTEN_OUT.get(part, part)
            for part in _PARTS.findall(bare)
        )


def _clock(hour: int, minute: int) -> str:
    if minute == 0:
        return _in_words(str(hour))
    return f"{_in_words(str(hour))} {'OH ' if minute < 10 else ''}{_in_words(str(minute))}"


def _number(digits: str) -> str:
    digits = digits.replace(",", "")
    year = len(digits) == 4 and digits.isdigit() and _FIRST_YEAR <= int(digits) <= _LAST_YEAR
    return _in_words(digits, "year" if year else "cardinal")


def _plural(text: str) -> str:
    if text.endswith("y"):
        return f"{text[:-1]}ies"
    return f"{text}es" if text.endswith("x") else f"{text}s"


def _in_words(digits: str, to: str = "cardinal") -> str:
    try:
        from num2words import num2words
    except ImportError:
        raise UserError(
            "The package num2words writes out the numbers in the sentences. Install it: pip install num2words"
        ) from None
    number = float(digits) if "." in digits else int(digits)
    return num2words(number, to=to)
