"""The layout of QUESST 2014 (Anguera et al., 2014): spoken queries, and the recordings that are searched.

`scoring/language_key_{utterances,dev,eval}.lst` list documents, development queries and evaluation queries in
lines such as `quesst14Database/Audio/quesst14_00001.wav nnenglish`: the first folder stands for the corpus,
and nnenglish is non-native English. As in SUPERB, every recording is heard 3 dB softer.
"""

from collections.abc import Sequence
from pathlib import Path

from s3prl.utility.commands import command_line
from s3prl.utility.config import nearest
from s3prl.utility.errors import UserError
from s3prl.utility.recordings import Recording
from s3prl.utility.typed import choice

from ..items import Item

DOWNLOAD = "https://speech.fit.vutbr.cz/files/quesst14Database.tgz"
PARTS = {"dev": "dev", "test": "eval", "eval": "eval"}  # split -> what the corpus calls its queries
DOCUMENTS = "utterances"
GAIN = -3.0  # dB
NAMED_FILES = 3  # of the missing ones
LANGUAGES = "downstream_expert.datarc.languages"


def queries(root: Path, split: str, languages: Sequence[str] | None) -> list[Item]:
    """The queries of "dev" or "test" ("eval" is another name of it), in the order of the corpus.

    Args:
        languages: those whose queries are wanted, as the corpus names them; None takes all.

    Raises:
        UserError: see `documents`.
    """
    return _items(root, PARTS[choice(split, PARTS, "The split")], languages)


def documents(root: Path, languages: Sequence[str] | None) -> list[Item]:
    """The recordings that are searched, in the order of the corpus; arguments are those of `queries`.

    Raises:
        UserError: the corpus is not there or incomplete, a line of its list is wrong, or nothing in it is in
            these languages.
    """
    return _items(root, DOCUMENTS, languages)


def ground_truths(root: Path, split: str) -> dict[str, Path]:
    """The folders that say which query is in which document; the official one has an empty name.

    Others are `scoring/groundtruth_quesst14_<dev|eval>_<name>`, such as those of a type of queries.
    """
    official = f"groundtruth_quesst14_{PARTS[split]}"
    folders = [path for path in sorted((root / "scoring").glob(f"{official}*")) if path.is_dir()]
    found = {path.name.removeprefix(official).removeprefix("_"): path for path in folders}
    return {name: path for name, path in found.items() if path.name in (official, f"{official}_{name}")}


def check_root(root: Path, split: str) -> None:
    """Raise UserError, with the ways to get the data, where the corpus lacks the lists of a split."""
    part = PARTS[choice(split, PARTS, "The split")]
    missing = [path for path in (_key(root, DOCUMENTS), _key(root, part)) if not path.is_file()]
    if not missing:
        return
    if root.is_dir():
        named = ", ".join(path.relative_to(root).as_posix() for path in missing)
        found = f"It lacks {named}. Is the archive fully extracted?"
    else:
        found = "That folder does not exist."
    raise UserError(
        f"QUESST 2014 was looked for in {root.absolute()}. {found} Download {DOWNLOAD}, extract it, and set "
        "downstream_expert.datarc.dataset_root to the folder quesst14Database (or the variable S3PRL_CORPORA "
        f"to the one that holds it); or make the miniature corpus with `{command_line('corpora')} quesst14 "
        "--output data/mini` and choose `-c downstream/quesst14_dtw/mini.yaml`."
    )


def _key(root: Path, part: str) -> Path:
    return root / "scoring" / f"language_key_{part}.lst"


def _items(root: Path, part: str, languages: Sequence[str] | None) -> list[Item]:
    key = _key(root, part)
    listed = _read_key(key)
    spoken = sorted(set(listed.values()))
    if languages is not None and not languages:
        raise UserError(
            f"{LANGUAGES} is an empty list. Name some of {', '.join(spoken)}, or take null for all."
        )
    absent = [language for language in languages or () if language not in spoken]
    if absent and (len(absent) == len(languages) or part == DOCUMENTS):
        raise UserError(
            f"{LANGUAGES}: {', '.join(absent)} is not in {key}.{nearest(absent[0], spoken)} "
            f"It has: {', '.join(spoken)}."
        )
    paths = [path for path, language in listed.items() if languages is None or language in languages]
    if missing := [path for path in paths if not (root / path).is_file()]:
        some = ", ".join(missing[:NAMED_FILES]) + (", …" if len(missing) > NAMED_FILES else "")
        raise UserError(
            f"{len(missing):,} of the {len(paths):,} recordings that {key} lists are not in {root}: {some}. "
            f"Is the archive ({DOWNLOAD}) fully extracted?"
        )
    found: dict[str, Item] = {}
    for path in paths:
        name = Path(path).stem
        if name in found:
            raise UserError(f"{key} lists two recordings named {name}. Results could not tell them apart.")
        found[name] = Item(name, Recording(root / path, gain=GAIN), None)
    return list(found.values())


def _read_key(key: Path) -> dict[str, str]:
    """Path below the corpus -> language, in the order of a list."""
    listed: dict[str, str] = {}
    try:
        text = key.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{key} is not UTF-8 text ({error}). Save it as UTF-8.") from error
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 2:
            raise UserError(
                f"{key}, line {number}: {line.strip()[:80]!r} is not `<folder>/<path> <language>`."
            )
        _, slash, path = fields[0].partition("/")
        listed[path if slash else fields[0]] = fields[1]
    if not listed:
        raise UserError(f"{key} is empty. Extract the archive again: {DOWNLOAD}")
    return listed
