"""The phones of frames, from the TextGrids of the Montreal Forced Aligner: <output_path>/libri_phone.

    python preprocess/preprocess_alignment.py
    python preprocess/preprocess_alignment.py --data_path data/libri_alignment --feature_type fbank

writes <set>/<utterance>.npy (int16 [frames], numbers of the classes in phones.txt) and <set>.csv for every
folder of TextGrids. A frame's phone is the one at its centre; there is a label for each frame of the features
of --feature_type: every 12.5 ms for mel and linear, every 10 ms for fbank and mfcc. TextGrids that cannot be
used are named at the end, and the exit code is then 1.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # so that s3prl is found in a clone

import numpy as np

from s3prl.preprocess.feature_kinds import KINDS, Front, feature_config, first_centre
from s3prl.preprocess.feature_options import report
from s3prl.preprocess.mini.corpus import each
from s3prl.preprocess.set_folder import SetFolder
from s3prl.upstream.features.pipeline import features_from_config
from s3prl.utility.arguments import command_parser
from s3prl.utility.errors import UserError, command
from s3prl.utility.files import write_atomically
from s3prl.utility.lengths import read_table
from s3prl.utility.phones import ARPABET, MONTREAL, RATE, SILENCE, labels_of_frames, without_stress
from s3prl.utility.textgrids import Segments, read_tier, textgrids_below

PHONE_SETS = {"montreal": MONTREAL, "arpabet": ARPABET}
TOGETHER = 100  # TextGrids that a process reads at a time
LONGEST = 86400.0  # seconds; a TextGrid that says more is damaged
TOLERATED = 5  # frames by which features may be longer or shorter than their alignment


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("preprocess_alignment", __doc__)
    add = parser.add_argument
    add(
        "--data_path", "--data_root", "-i", dest="data_path", type=Path,
        default=Path("./data/libri_alignment"),
        help="a folder of TextGrids for each set (default: ./data/libri_alignment)",
    )  # fmt: skip
    add("--sets", "--splits", dest="sets", nargs="+", help="only these (default: every one that is there)")
    add("--output_path", type=Path, default=Path("./data"), help="where the folder goes (default: ./data)")
    add("--name", default="libri_phone", help="of the folder (default: libri_phone)")
    add("--feature_type", choices=KINDS, default="mel", help="whose frames get labels (default: mel)")
    add(
        "--features", type=Path, metavar="FOLDER",
        help="of such features: every utterance then gets as many labels as it has frames there",
    )  # fmt: skip
    add(
        "--phone_set", default="montreal", metavar="montreal|arpabet|FILE",
        help="72 classes with stress, 41 without, or a file with the names of classes (default: montreal)",
    )  # fmt: skip
    add("--n_jobs", type=int, default=-1, help="processes; -1 for one per CPU")
    return parser


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Write the labels; returns 1 when some TextGrids could not be used, else 0."""
    options = _parser().parse_args(arguments)
    root = options.data_path.expanduser()
    sets = _sets(root, options.sets)
    classes = _classes(options.phone_set)
    labeller = _Labeller(features_from_config(feature_config(options.feature_type)), classes)
    folder = SetFolder(options.output_path.expanduser() / options.name, "int16")
    names = "".join(f"{name}\n" for name in classes).encode()
    settings = {
        "feature_type": options.feature_type,
        "phones": f"{len(classes)} classes, {sha256(names).hexdigest()[:8]}",
        "features": None if options.features is None else str(options.features.resolve()),
    }
    problems: list[str] = []
    with folder.opened(settings, {part: root / part for part in sets}):
        write_atomically(folder.folder / "phones.txt", lambda file: file.write(names))
        for part, grids in sets.items():
            wanted = None if options.features is None else _frames_of(options.features.expanduser(), part)
            frames, failed = _label_set(folder, part, grids, labeller, wanted, options.n_jobs)
            problems += failed
            print(f"{folder.write_table(part, frames)}: {len(frames)} utterances, {len(classes)} classes")
    return report(problems, "TextGrids")


@dataclass(frozen=True)
class _Labeller:
    """Turns the phones of an utterance into a label for each frame."""

    front: Front
    classes: Sequence[str]

    def __call__(self, segments: Segments, wanted: int | None) -> np.ndarray:
        """int16 [frames]; raises a UserError that says why this cannot be done.

        Args:
            wanted: frames that the utterance's features have; None is as many as fit into its length.
        """
        if not segments:
            raise UserError("it has no interval.")
        starts, ends, names = zip(*sorted(segments), strict=True)
        if ends[-1] > LONGEST:
            raise UserError(f"its last interval ends at {ends[-1]:g} s.")
        frames = max(1, self.front.num_frames(round(ends[-1] * RATE)))
        if wanted is not None and abs(wanted - frames) > TOLERATED:
            raise UserError(f"it lasts for {frames} frames, and the features have {wanted}.")
        labels = [self._number(name) for name in names]
        return labels_of_frames(
            starts, ends, labels, frames if wanted is None else wanted, self._number(""), self.front.shift,
            first_centre(self.front),
        )  # fmt: skip

    def _number(self, phone: str) -> int:
        """The class of an aligner's phone: itself, or its sort of silence or noise, or it without stress."""
        plain = without_stress(phone)
        for name in (phone, plain, plain.lower()):
            if name in self.classes:
                return self.classes.index(name)
        raise UserError(
            f"its phone {phone!r} is none of the {len(self.classes)} classes. Name all classes in a file: "
            "--phone_set FILE."
        )


def _sets(root: Path, names: Sequence[str] | None) -> dict[str, dict[str, Path]]:
    """Set -> utterance -> TextGrid."""
    if not root.is_dir():
        raise UserError(
            f"--data_path: there is no folder {root}. Give one with TextGrids, such as that of "
            "libri_alignment.zip."
        )
    folders = names or sorted(path.name for path in root.iterdir() if path.is_dir() and path.name[0] != ".")
    found = {name: _by_utterance(root / name) for name in folders}
    empty = [name for name, grids in found.items() if not grids]
    if len(empty) == len(found) or (names and empty):
        raise UserError(
            f"{root} needs a folder of TextGrids for each set. There is none in: {', '.join(empty) or root}."
        )
    return {name: grids for name, grids in found.items() if grids}


def _by_utterance(folder: Path) -> dict[str, Path]:
    """Utterance -> TextGrid; raises a UserError where two have the same name."""
    found: dict[str, Path] = {}
    for path in sorted(textgrids_below(folder)):
        if path.stem in found:
            raise UserError(
                f"{found[path.stem]} and {path} are both the utterance {path.stem}. Rename one, or put "
                "them into different sets."
            )
        found[path.stem] = path
    return found


def _classes(phone_set: str) -> tuple[str, ...]:
    """The names of the classes; one of them is silence."""
    if phone_set in PHONE_SETS:
        return PHONE_SETS[phone_set]
    path = Path(phone_set).expanduser()
    if not path.is_file():
        raise UserError(f"--phone_set {phone_set} is none of {', '.join(PHONE_SETS)}, nor a file.")
    classes = tuple(path.read_text(encoding="utf-8").split())
    if len(set(classes)) < len(classes) or not any(without_stress(name) == SILENCE for name in classes):
        raise UserError(f"{path} must name every class once, and silence (sil) among them.")
    return classes


def _frames_of(folder: Path, part: str) -> dict[str, int]:
    """Utterance -> frames, of a set of features."""
    table = folder / f"{part}.csv"
    if not table.is_file():
        raise UserError(f"--features {folder} has no {table.name}. Prepare the features of that set first.")
    rows = read_table(table)
    found = {Path(name).stem: frames for name, frames in rows.items()}
    if len(found) < len(rows):
        raise UserError(f"{table} has utterances of the same name in different folders: no TextGrid fits.")
    return found


def _label_set(
    folder: SetFolder,
    part: str,
    grids: Mapping[str, Path],
    labeller: _Labeller,
    wanted: Mapping[str, int] | None,
    n_jobs: int,
) -> tuple[dict[str, int], list[str]]:
    """Write the labels of a set that are not there yet: (labels of every utterance, what went wrong)."""
    frames: dict[str, int] = {}
    problems = []
    for name in grids:
        shape = folder.shape(part, name)
        if shape is not None and (wanted is None or shape == (wanted.get(name),)):
            frames[name] = shape[0]
    todo = [(name, path) for name, path in grids.items() if name not in frames]
    for name, found in _read_all(todo, part, n_jobs):
        try:
            if isinstance(found, str):
                raise UserError(found)
            if wanted is not None and name not in wanted:
                raise UserError("there are no features of it.")
            labels = labeller(found, None if wanted is None else wanted[name])
        except UserError as error:
            problems.append(f"{grids[name]}: {error}")
            continue
        folder.write(part, name, labels)
        frames[name] = len(labels)
    return frames, problems


def _read_all(
    grids: Sequence[tuple[str, Path]], title: str, n_jobs: int
) -> Iterator[tuple[str, Segments | str]]:
    """Utterances with their phones, or with the reason why these cannot be read."""
    chunks = [grids[start : start + TOGETHER] for start in range(0, len(grids), TOGETHER)]
    for found in each(_read, chunks, n_jobs, title, unit=f"times {TOGETHER} TextGrids"):
        yield from found


def _read(grids: Iterable[tuple[str, Path]]) -> list[tuple[str, Segments | str]]:
    """In a process of its own."""
    found: list[tuple[str, Segments | str]] = []
    for name, path in grids:
        try:
            found.append((name, [tuple(one) for one in read_tier(path, "phone")]))
        except UserError as error:
            found.append((name, str(error)))
    return found


if __name__ == "__main__":
    sys.exit(main())
