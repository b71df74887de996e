"""The layout that `preprocess/prepare_snips.py` makes of Audio SNIPS (Lai et al., 2020).

`<split>/<speaker>-snips-<split>-<number>.wav`, and for all splits `all.iob.snips.txt` with lines
`<utterance> BOS WORD WORD EOS<TAB>O TAG TAG INTENT`: a tag for each word, without `B-` and `I-`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from s3prl.utility.commands import command_line
from s3prl.utility.errors import UserError
from s3prl.utility.paths import files_below
from s3prl.utility.recordings import Recording
from s3prl.utility.snips import TEXTS, spoken, tagged

from ..items import Item

Warn = Callable[[str], None]


def items(root: Path, folders: Sequence[str], speakers: Sequence[str], warn: Warn) -> list[Item]:
    """The recordings of some speakers with their tagged sentences, by file name.

    Args:
        root: the folder that holds `train`, `valid`, `test` and all.iob.snips.txt.
        folders: under it, such as ["train"].
        speakers: whose recordings are taken.
        warn: is told of recordings without a sentence.

    Raises:
        UserError: the corpus is not there, a line of its text cannot be read, or a speaker has no recording.
    """
    for folder in folders:
        check_folder(root, folder)
    files = [
        path for folder in folders for path in sorted(files_below(root / folder)) if path.suffix == ".wav"
    ]
    texts = read_texts(root / TEXTS, {path.stem for path in files})
    if without := [path for path in files if path.stem not in texts]:
        plural = "s" if len(without) != 1 else ""
        warn(
            f"{len(without)} recording{plural} without a line in {root / TEXTS} (the first: {without[0]}): "
            "left out."
        )
    found = {path.stem.split("-")[0] for path in files if path.stem in texts}
    if missing := [speaker for speaker in speakers if speaker not in found]:
        raise UserError(
            f"{root}/{'+'.join(folders)} has no recording of {', '.join(missing)} with a line in {TEXTS}; "
            f"its speakers: {', '.join(sorted(found)) or 'none'}. Run `{command_line('snips')}` again, which "
            "makes what is missing, or correct the list of speakers in downstream_expert.corpus."
        )
    chosen = set(speakers)
    return [
        Item(path.stem, Recording(path), texts[path.stem])
        for path in files
        if path.stem in texts and path.stem.split("-")[0] in chosen
    ]


def check_folder(root: Path, folder: str) -> None:
    """Raise UserError, with the ways to get the data, when a split or the text is not there."""
    missing = [name for name in (folder, TEXTS) if not (root / name).exists()]
    if not missing:
        return
    found = f"It lacks {' and '.join(missing)}." if root.is_dir() else "That folder does not exist."
    raise UserError(
        f"The prepared corpus SNIPS was looked for in {root.absolute()}. {found} Prepare it with "
        f"`{command_line('snips')} /my/corpora` (--help says of what) and set downstream_expert.corpus.path "
        "to it (or the variable S3PRL_CORPORA to /my/corpora); or make the miniature corpus with "
        f"`{command_line('corpora')} snips --output data/mini` and choose "
        "`-c downstream/ctc/mini_snips.yaml`."
    )


def read_texts(path: Path, wanted: set[str]) -> dict[str, str]:
    """Utterance -> tagged sentence, of those that are wanted.

    Raises:
        UserError: a line is not made as the module's head says, or an utterance has two.
    """
    texts: dict[str, str] = {}
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            name, _, rest = line.strip().partition(" ")
            if name not in wanted:
                continue
            if name in texts:
                raise UserError(f"{path}, line {number}: a second sentence of {name}. Remove one of the two.")
            words, tags = (part.split() for part in rest.partition("\t")[::2])
            if len(words) != len(tags) or words[:1] != ["BOS"] or words[-1:] != ["EOS"]:
                raise UserError(
                    f"{path}, line {number} ({name}) has {len(words)} words and {len(tags)} tags. A line is "
                    "`<utterance> BOS WORD ... EOS<TAB>O TAG ... INTENT`, with a tag for every word."
                )
            texts[name] = tagged(spoken(zip(words[1:-1], tags[1:-1], strict=True)))
    return texts
