"""The layout of IEMOCAP (Busso et al., 2008): four emotions, and a fold of cross-validation for each session.

`Session1/sentences/wav/<dialog>/<utterance>.wav`, and in `Session1/dialog/EmoEvaluation/<dialog>.txt` lines
`[6.2901 - 8.2357] Ses01F_impro01_F000 neu [2.5000, 2.5000, 2.5000]` with tabs between the four fields.

The lists that IEMOCAP_preprocess.py writes, of this package or the public one, are used where there are some.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from s3prl.utility.commands import command_line
from s3prl.utility.errors import UserError
from s3prl.utility.recordings import Recording
from s3prl.utility.typed import choice

from ..items import Item

PAGE = "https://sail.usc.edu/iemocap/"
EMOTIONS = ("neu", "hap", "ang", "sad")  # in the order of a model's outputs
MERGED = {"exc": "hap"}  # excited counts as happy; every other label is left out
SESSIONS = tuple(f"Session{number}" for number in range(1, 6))
FOLDS = tuple(f"fold{number}" for number in range(1, 6))  # fold1 is tested on Session1
SPLITS = ("train", "dev", "test")
LISTS = "meta_data"  # their folder in that of the corpus
_LABELS, _WAVS = Path("dialog", "EmoEvaluation"), Path("sentences", "wav")
_SPLIT_SEED = 0  # of the development set, as in the public S3PRL


@dataclass(frozen=True)
class Utterance:
    """A line of a list."""

    path: str  # below the folder of the corpus
    label: str  # one of EMOTIONS
    speaker: str  # as in the public lists: the session, and whose face was filmed (`Ses01F`)


def items(
    root: Path, split: str, fold: str, valid_ratio: float = 0.2, lists: Path | None = None
) -> list[Item]:
    """The utterances of a split: "test" is one session, "train" and "dev" are drawn from the other four.

    Args:
        fold: one of FOLDS.
        valid_ratio: which part of the four sessions is "dev".
        lists: the folder with a list for each session; None takes those in `root`, if there are any, else
            reads the labels of the corpus.

    Raises:
        UserError: the corpus is not there, or incomplete.
    """
    check_folder(root, lists)
    testing = choice(split, SPLITS, "The split") == "test"
    session = SESSIONS[FOLDS.index(fold)]
    part = "test" if testing else "train"
    path = list_of(lists or root / LISTS, session, part)
    found = read_list(path) if lists or path.is_file() else utterances(root, sessions_of(session, part))
    if not testing:
        found = [found[index] for index in _drawn(split, len(found), valid_ratio)]
    return [Item(Path(one.path).name, Recording(root / one.path), one.label) for one in found]


def check_folder(root: Path, lists: Path | None = None) -> None:
    """Raise UserError, with the ways to get the data, when a folder of the corpus is missing.

    Args:
        lists: see `items`; with lists, the labels of the corpus are not needed.
    """
    own = (list_of(root / LISTS, session, part) for session in SESSIONS for part in ("train", "test"))
    listed = lists is not None or all(path.is_file() for path in own)
    needed = [Path(session, part) for session in SESSIONS for part in (_WAVS, _LABELS)[: 1 if listed else 2]]
    missing = [folder for folder in needed if not (root / folder).is_dir()]
    if not missing:
        return
    if not root.is_dir():
        found = "That folder does not exist."
    else:
        found = f"It lacks {missing[0]}{f' and {len(missing) - 1} more' if missing[1:] else ''}."
        below = [path.parent for path in sorted(root.glob("*/Session1"))]
        found += f" Sessions are in {below[0]}." if below else ""
    raise UserError(
        f"IEMOCAP was looked for in {root.absolute()}. {found} Ask for it on {PAGE} and set "
        "downstream_expert.datarc.root to the folder that holds Session1 to Session5 (or the variable "
        "S3PRL_CORPORA to the one that holds IEMOCAP); or make the miniature corpus with "
        f"`{command_line('corpora')} emotion --output data/mini` and choose "
        "`-c downstream/emotion/mini.yaml`."
    )


def sessions_of(session: str, part: str) -> list[str]:
    """The sessions of a list: "test" is the session itself, "train" all others."""
    return [one for one in SESSIONS if (one == session) == (part == "test")]


def utterances(root: Path, sessions: Sequence[str]) -> list[Utterance]:
    """The labelled utterances of sessions, by session, file name and line.

    Raises:
        UserError: a session has none, or a line cannot be understood.
    """
    found = []
    for session in sessions:
        folder = root / session / _LABELS
        files = sorted(path for path in folder.glob("*.txt") if not path.name.startswith("."))
        labelled = [one for file in files for one in _labelled(file, session)]
        if not labelled:
            raise UserError(
                f"{folder} has no .txt file with an utterance of the emotions "
                f"{', '.join((*EMOTIONS, *MERGED))}. Is the archive fully extracted? Its page is {PAGE}."
            )
        found += labelled
    return found


def list_of(lists: Path, session: str, part: str) -> Path:
    """Where the list of a session is; `part` is "train" or "test"."""
    return lists / session / f"{part}_meta_data.json"


def list_content(found: Sequence[Utterance]) -> dict[str, Any]:
    """What a list holds, in the format of the public S3PRL."""
    return {"labels": _numbers(), "meta_data": [asdict(one) for one in found]}


def read_list(path: Path) -> list[Utterance]:
    """The utterances of a list, in its order.

    Raises:
        UserError: there is no such file, or it holds something else.
    """
    again = (
        "Write it with downstream/emotion/IEMOCAP_preprocess.py; or remove it, and leave "
        "downstream_expert.datarc.meta_data out."
    )
    if not path.is_file():
        raise UserError(f"There is no list {path.absolute()}. {again}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        numbers = content["labels"]
        found = [
            Utterance(str(one["path"]), str(one["label"]), str(one.get("speaker", "")))
            for one in content["meta_data"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no list of utterances ({error!r}). {again}") from error
    if numbers != _numbers():
        raise UserError(f"{path}: its labels are {numbers}, but they must be {_numbers()}. {again}")
    return found


def _numbers() -> dict[str, int]:
    return {emotion: number for number, emotion in enumerate(EMOTIONS)}


def _labelled(file: Path, session: str) -> list[Utterance]:
    """The utterances of a dialog that have one of the emotions."""
    found = []
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.startswith("["):  # the header, or what a single evaluator says
            continue
        fields = [field.strip() for field in line.split("\t") if field.strip()]
        if len(fields) < 3:
            raise UserError(
                f"{file}, line {number}: expected `[start - end]`, the utterance and its label with tabs "
                f"between them, not {line!r}."
            )
        name, label = fields[1], MERGED.get(fields[2], fields[2])
        if label in EMOTIONS:
            dialog, _, _ = name.rpartition("_")
            path = Path(session, _WAVS, dialog, f"{name}.wav")
            found.append(Utterance(path.as_posix(), label, name.partition("_")[0]))
    return found


def _drawn(split: str, count: int, valid_ratio: float) -> list[int]:
    """The places of "train" or "dev" in a list of `count`.

    As `torch.manual_seed(0)` and `random_split` draw them, but from a generator of their own.
    """
    import torch  # only here: the commands that read or write lists begin faster without it

    order = torch.randperm(count, generator=torch.Generator().manual_seed(_SPLIT_SEED)).tolist()
    size = int((1 - valid_ratio) * count)
    return order[:size] if split == "train" else order[size:]
