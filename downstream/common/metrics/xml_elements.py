"""XML files of the NIST evaluations, element by element: no tree of millions of elements in memory."""

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from s3prl.utility.errors import UserError

AUDIO_SUFFIXES = (".wav", ".flac", ".sph", ".mp3", ".ogg", ".opus", ".m4a")

OnElement = Callable[[str, dict[str, str], int], None]
OnText = Callable[[str, str], None]


class OtherContent(UserError):
    """An XML file about something else."""


def read_elements(
    path: Path, roots: tuple[str, ...], on_element: OnElement, on_text: OnText | None = None
) -> None:
    """Read an XML file from its first to its last element.

    Args:
        roots: what the outermost element may be called.
        on_element: called at the beginning of each element with its name, attributes and line.
        on_text: called at the end of each element with its name and text.

    Raises:
        OtherContent: the outermost element has another name.
        UserError: there is no such file, it is not XML, or it declares entities (a small file could expand to
            gigabytes).
    """
    parser = expat.ParserCreate()
    text: list[str] = []

    def first(name: str, attributes: dict[str, str]) -> None:
        if name not in roots:
            raise OtherContent(f"{path}: its outermost element must be <{roots[0]}>, not <{name}>.")
        parser.StartElementHandler = start
        start(name, attributes)

    def start(name: str, attributes: dict[str, str]) -> None:
        text.clear()
        on_element(name, attributes, parser.CurrentLineNumber)

    def end(name: str) -> None:
        on_text(name, "".join(text).strip())
        text.clear()

    def refuse(*_: object) -> NoReturn:
        raise UserError(
            f"{path}, line {parser.CurrentLineNumber}: entities are not allowed. Write plain XML."
        )

    parser.StartElementHandler = first
    parser.EntityDeclHandler = refuse
    if on_text is not None:
        parser.EndElementHandler, parser.CharacterDataHandler = end, text.append
    try:
        with path.open("rb") as file:
            parser.ParseFile(file)
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path.absolute()}. Correct its path.") from error
    except expat.ExpatError as error:
        raise UserError(f"{path} is not complete XML ({error}). Write it again.") from error


def attribute(path: Path, line: int, element: str, attributes: dict[str, str], name: str) -> str:
    """An attribute that an element must have.

    Raises:
        UserError: it is missing or empty.
    """
    value = attributes.get(name, "").strip()
    if not value:
        raise UserError(f"{path}, line {line}: <{element}> needs the attribute '{name}'.")
    return value


def plain_name(name: str) -> str:
    """The name of a recording without folders and without the suffix of an audio file.

    `Audio/quesst14_00001.wav` and `quesst14_00001` are the same recording.
    """
    name = name.strip().replace("\\", "/").rsplit("/", 1)[-1]
    for suffix in AUDIO_SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name
