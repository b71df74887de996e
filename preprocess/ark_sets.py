"""Features from Kaldi's archives as a folder for training: what ark2libri.py and its neighbours share."""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from s3prl.upstream.features.delta import add_deltas, normalise
from s3prl.utility.arguments import command_parser
from s3prl.utility.errors import UserError
from s3prl.utility.progress import followed

from .feature_options import add_truth, report
from .kaldi_archives import Place, read_archive, read_at, read_list
from .set_folder import SetFolder

LIST, STATISTICS, SPEAKERS = "feats.scp", "cmvn.scp", "utt2spk"
DELTA_WINDOW = 5  # frames
ARCHIVES = (".ark", ".ark.gz")
CMVN = ("none", "utterance", "speaker")


def ark_parser(command: str, description: str, name: str) -> argparse.ArgumentParser:
    """The options of a command that converts archives.

    Args:
        name: default of the folder that is written.
    """
    parser = command_parser(command, description)
    add = parser.add_argument
    add(
        "--data_path", "--data_root", "-i", dest="data_path", type=Path, required=True, metavar="FOLDER",
        help="has a folder for each set, with feats.scp or archives, or <set>.scp or <set>.ark",
    )  # fmt: skip
    add("--sets", "--splits", dest="sets", nargs="+", help="only these (default: every one that is there)")
    add("--output_path", type=Path, default=Path("./data"), help="where the folder goes (default: ./data)")
    add("--name", default=name, help=f"of the folder (default: {name})")
    add(
        "--apply_cmvn", choices=CMVN, default="none",
        help="zero mean and unit variance over each utterance, or each speaker by the set's cmvn.scp and "
        "utt2spk (default: none, as where Kaldi has done it already)",
    )  # fmt: skip
    add_truth(parser, "--delta", False, "append first differences")
    add_truth(parser, "--delta_delta", False, "append second differences too")
    return parser


def convert_sets(
    options: argparse.Namespace, set_name: Callable[[str], str] = str, file_name: Callable[[str], str] = str
) -> int:
    """Convert the sets that the options name; returns the exit code.

    Args:
        set_name: what to call Kaldi's set.
        file_name: where to put Kaldi's utterance, without suffix.

    Raises:
        UserError: a set is missing, a list cannot be used, or the folder holds other features.
    """
    root = options.data_path.expanduser()
    if options.delta_delta and not options.delta:
        raise UserError("--delta_delta needs first differences too: add --delta=True.")
    sets = {
        name: {path: read_list(path) if path.suffix == ".scp" else None for path in _sources(root, name)}
        for name in options.sets or _sets_in(root)
    }
    folder = SetFolder(options.output_path.expanduser() / options.name)
    order = int(options.delta) + int(options.delta_delta)
    settings = {"made_by": "Kaldi", "apply_cmvn": options.apply_cmvn, "delta": order}
    problems: list[str] = []
    origins = {
        set_name(name): root / name if (root / name).is_dir() else next(iter(sources))
        for name, sources in sets.items()
    }
    if len(origins) < len(sets):
        raise UserError(f"Several of the sets {', '.join(sets)} would have one name. Choose with --sets.")
    with folder.opened(settings, origins):
        for name, sources in sets.items():
            speakers = _Speakers(root / name) if options.apply_cmvn == "speaker" else None
            job = _Set(folder, set_name(name), file_name, order, options.apply_cmvn, speakers)
            for source, listed in sources.items():
                job.convert(source, listed)
            table = folder.write_table(job.part, job.frames)
            print(f"{table}: {len(job.frames)} utterances, {job.dim or 'no'} dimensions ({job.written} new)")
            problems += job.problems
    return report(problems, "entries of archives")


class _Set:
    """A set that is being converted."""

    def __init__(
        self,
        folder: SetFolder,
        part: str,
        file_name: Callable[[str], str],
        order: int,
        cmvn: str,
        speakers: "_Speakers | None",
    ) -> None:
        self.folder, self.part, self.file_name = folder, part, file_name
        self.order, self.cmvn, self.speakers = order, cmvn, speakers
        self.frames: dict[str, int] = {}
        self.met: set[str] = set()  # names of utterances
        self.problems: list[str] = []
        self.dim: int | None = None
        self.written = 0

    def convert(self, source: Path, listed: dict[str, Place] | None) -> None:
        """Convert what is not there yet.

        Args:
            source: an archive, or a list.
            listed: its entries, if it is a list.
        """
        entries = self._readable(source) if listed is None else listed.items()
        total = None if listed is None else len(listed)
        for key, found in followed(entries, total, f"{self.part} {source.name}", "utterances"):
            if key in self.met:
                self.problems.append(f"{self.part}/{key}: {source} has it a second time; the first is taken.")
            elif not self._there(key):
                self._take(key, found)
            self.met.add(key)

    def _readable(self, archive: Path) -> Iterator[tuple[str, np.ndarray]]:
        """What is whole in an archive, up to what is not."""
        try:
            yield from read_archive(archive)
        except UserError as error:
            self.problems.append(f"{error} The rest of the archive is left out.")

    def _there(self, key: str) -> bool:
        shape = self.folder.shape(self.part, self.file_name(key))
        if shape is None or len(shape) != 2:
            return False
        self._check_dim(key, shape[1])
        self.frames[self.file_name(key)] = shape[0]
        return True

    def _take(self, key: str, found: Place | np.ndarray) -> None:
        """Write an utterance; what is wrong with it goes to `problems`."""
        try:
            matrix = read_at(found) if isinstance(found, Place) else found
            if matrix.ndim != 2 or not matrix.size:
                raise UserError(f"it is no matrix of frames, but of shape {list(matrix.shape)}.")
            if not np.isfinite(matrix).all():
                raise UserError("it holds NaN or Inf.")
            features = self._finished(key, torch.from_numpy(np.array(matrix, dtype=np.float32)))
        except UserError as error:
            self.problems.append(f"{self.part}/{key}: {error}")
            return
        self._check_dim(key, features.size(1))
        self.folder.write(self.part, self.file_name(key), features.numpy())
        self.frames[self.file_name(key)] = len(features)
        self.written += 1

    def _finished(self, key: str, features: torch.Tensor) -> torch.Tensor:
        """[frames, dim] with statistics of the speaker applied, then deltas, then those of the utterance."""
        if self.speakers is not None:
            features = self.speakers.normalised(key, features)
        batch, frames = features[None], [len(features)]
        batch = add_deltas(batch, frames, self.order, DELTA_WINDOW)
        return (normalise(batch, frames) if self.cmvn == "utterance" else batch)[0]

    def _check_dim(self, key: str, dim: int) -> None:
        self.dim = self.dim or dim
        if dim != self.dim:
            raise UserError(
                f"{self.part}/{key} has {dim} dimensions, others have {self.dim}. The archives are of "
                "different features: choose them with --data_path and --sets."
            )


class _Speakers:
    """Kaldi's statistics of speakers (compute-cmvn-stats): sums, sums of squares, and the count of frames."""

    def __init__(self, folder: Path) -> None:
        for name in (STATISTICS, SPEAKERS):
            if not (folder / name).is_file():
                raise UserError(
                    f"--apply_cmvn speaker needs {folder / name}. Use --apply_cmvn utterance, or none."
                )
        self.folder, self.places = folder, read_list(folder / STATISTICS)
        lines = (folder / SPEAKERS).read_text(encoding="utf-8").splitlines()
        self.speaker_of = {words[0]: words[1] for words in map(str.split, lines) if len(words) == 2}
        self._known: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    def normalised(self, utterance: str, features: torch.Tensor) -> torch.Tensor:
        """[frames, dim] -> the same with the speaker's mean taken away, by the standard deviation."""
        speaker = self.speaker_of.get(utterance)
        if speaker is None or speaker not in self.places:
            raise UserError(f"{self.folder} has no speaker of it in {SPEAKERS}, or none of that name.")
        if speaker not in self._known:
            statistics = torch.from_numpy(np.array(read_at(self.places[speaker]), dtype=np.float64))
            if statistics.dim() != 2 or len(statistics) != 2 or statistics[0, -1] <= 0:
                raise UserError(f"the statistics of {speaker} are not those of compute-cmvn-stats.")
            mean, square = statistics[:, :-1] / statistics[0, -1]
            self._known[speaker] = mean, (square - mean.square()).clamp(min=1e-20).sqrt()
        mean, deviation = self._known[speaker]
        if len(mean) != features.size(1):
            raise UserError(f"it has {features.size(1)} dimensions, its speaker's statistics {len(mean)}.")
        return ((features - mean) / deviation).float()


def _sources(root: Path, name: str) -> list[Path]:
    """The list or the archives of a set."""
    if found := _lists(root / name):
        return found
    for suffix in (".scp", *ARCHIVES):
        if (path := root / f"{name}{suffix}").is_file():
            return [path]
    raise UserError(
        f"{root} has no set {name}: neither {name}/{LIST}, nor archives in {name}, nor {name}.scp or "
        f"{name}.ark."
    )


def _lists(folder: Path) -> list[Path]:
    """feats.scp, else other lists, else archives of a folder; none of them holds statistics or waves."""
    if (folder / LIST).is_file():
        return [folder / LIST]
    for suffixes in ((".scp",), ARCHIVES):
        paths = sorted(path for suffix in suffixes for path in folder.glob(f"*{suffix}"))
        if kept := [path for path in paths if not path.name.startswith(("cmvn", "wav", "vad"))]:
            return kept
    return []


def _sets_in(root: Path) -> list[str]:
    """Folders with lists or archives, else the lists or archives of the folder itself, by their names."""
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    found = [path.name for path in folders if _lists(path)] or sorted({_plain(path) for path in _lists(root)})
    if not found:
        raise UserError(
            f"--data_path {root} has no Kaldi archives: give a folder with, for each set, a folder that "
            f"holds {LIST} or .ark files (such as egs/librispeech/s5/data), or with <set>.scp or <set>.ark."
        )
    return found


def _plain(path: Path) -> str:
    """The name of a list or an archive without its suffix."""
    return Path(path.name.removesuffix(".gz")).stem
