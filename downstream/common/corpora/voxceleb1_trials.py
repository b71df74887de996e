"""Speaker verification on VoxCeleb1: trials, lines `<1|0> <recording> <recording>`, and who is in dev/wav.

    1 id10270/x6uYqmx31kE/00001.wav id10270/8jEAjG6SegY/00008.wav
    0 id10270/x6uYqmx31kE/00001.wav id10300/ize_eiCFEg0/00003.wav

1 is a target trial: both recordings are of one speaker. Recordings are named relative to dev/wav or test/wav.
"""

import gzip
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations, zip_longest
from pathlib import Path
from typing import NamedTuple

from s3prl.utility.download import DownloadError, download
from s3prl.utility.errors import UserError

from .cpc_split import LISTS
from .folder_table import files_in
from .voxceleb1 import DOWNLOAD_PAGE, NAMED_FILES

CLEANED_LIST = "veri_test2.txt"  # of VoxCeleb's own page, with fewer trials than that of SUPERB
TEST_LISTS = ("voxceleb1_test_v2.txt", CLEANED_LIST)  # in the folder of the corpus
# The list of SUPERB, with 37,720 trials
TEST_LIST_URLS = (
    "https://www.openslr.org/resources/49/voxceleb1_test_v2.txt",
    "https://openslr.magicdatatech.com/resources/49/voxceleb1_test_v2.txt",
)
DEV_SPEAKERS = LISTS / "asv_dev_speakers.txt.gz"
OWN_DEV_SPEAKERS = "asv_dev_speakers.txt"  # in the folder of a corpus with other speakers
DEV_TRIALS = 20_000
SEED = 1337
SUFFIXES = (".wav", ".flac")


class Trial(NamedTuple):
    """Two recordings, named as in the list, and whether they are of one speaker."""

    label: bool
    enrol: str
    test: str
    line: int = 0  # where it stands in its list; 0 where there is none


def find_trials(given: Path | None, root: Path, warn: Callable[[str], None]) -> Path:
    """The list of the test trials: `given`, else that of the corpus, else SUPERB's, which is downloaded.

    Args:
        root: the folder that holds test/wav.
        warn: is told if `given` does not exist, and if another list than SUPERB's is used.

    Raises:
        UserError: it cannot be downloaded.
    """
    if given is not None and given.is_file():
        return given
    path = next((root / name for name in TEST_LISTS if (root / name).is_file()), None)
    if path is None:
        try:
            path = download(
                TEST_LIST_URLS[0], mirrors=TEST_LIST_URLS[1:], name="The list of test trials of VoxCeleb1"
            )
        except DownloadError as error:
            raise UserError(
                f"{error}\nOr save it as {root / TEST_LISTS[0]}, or set "
                "downstream_expert.datarc.test_meta_data to such a file."
            ) from error
    if given is not None:
        warn(f"there is no list {given}; that of {path} is used")
    if path.name == CLEANED_LIST:
        warn(
            f"the trials are those of {path}, not SUPERB's: their EER is another one. For SUPERB's, save "
            f"{TEST_LIST_URLS[0]} beside it."
        )
    return path


def read_trials(path: Path) -> list[Trial]:
    """The trials of a list, in its order.

    Raises:
        UserError: there is no such file, a line is no trial, or all trials are of one kind.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UserError(
            f"There is no list of trials {path.absolute()}. Correct its path in the config."
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a list of trials: it is not UTF-8 text ({error}).") from error
    trials = []
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 3 or fields[0] not in ("0", "1"):
            raise UserError(
                f"{path}, line {number}: {line.strip()[:100]!r} is not `<1|0> <recording> <recording>`, such "
                "as `1 id10270/x6uYqmx31kE/00001.wav id10270/8jEAjG6SegY/00008.wav`. The list of SUPERB is "
                f"{TEST_LIST_URLS[0]}."
            )
        trials.append(Trial(fields[0] == "1", fields[1], fields[2], number))
    labels = {trial.label for trial in trials}
    if labels != {True, False}:
        lacking = "target trials (1)" if True not in labels else "nontarget trials (0)"
        raise UserError(f"{path} has no {lacking}; an error rate needs both kinds. Add some.")
    return trials


def names_in(trials: Iterable[Trial]) -> list[str]:
    """The distinct recordings of trials, in the order in which they are first named."""
    return list(dict.fromkeys(name for trial in trials for name in (trial.enrol, trial.test)))


def check_trials(trials: Sequence[Trial], folder: Path, source: Path) -> None:
    """Find recordings that are not there, before anything is computed.

    Args:
        folder: from which their names count, such as test/wav.
        source: the list, as messages name it.

    Raises:
        UserError: with the line of the first trial of each, for some of them.
    """
    names = names_in(trials)
    missing = [name for name in names if not (folder / name).is_file()]
    if not missing:
        return
    lines: dict[str, int] = {}
    for trial in trials:
        lines.setdefault(trial.enrol, trial.line)
        lines.setdefault(trial.test, trial.line)
    some = ", ".join(f"{name} (line {lines[name]})" for name in missing[:NAMED_FILES])
    raise UserError(
        f"{len(missing):,} of the {len(names):,} recordings in the trials of {source} are not in {folder}: "
        f"{some}{', …' if len(missing) > NAMED_FILES else ''}. Are all archives of VoxCeleb1 "
        f"({DOWNLOAD_PAGE}) extracted? To leave these trials out, make a list without them."
    )


def recordings_by_speaker(folder: Path) -> dict[str, list[str]]:
    """Recordings `<speaker>/<video>/<number>.wav` below a folder such as dev/wav; all in the order of names.

    Returns:
        Speaker -> names of his recordings, relative to the folder.

    Raises:
        UserError: there is none.
    """
    found: dict[str, list[str]] = {}
    for name in files_in(folder) if folder.is_dir() else ():
        if name.count("/") == 2 and name.lower().endswith(SUFFIXES):
            found.setdefault(name.partition("/")[0], []).append(name)
    if not found:
        raise UserError(
            f"{folder.absolute()} has no recordings <speaker>/<video>/<number>.wav. Extract the archives of "
            f"VoxCeleb1 ({DOWNLOAD_PAGE}) so that there are dev/wav/id10001/… and test/wav/id10270/…"
        )
    return found


def dev_speakers(root: Path) -> list[str]:
    """The speakers for validation: those of `asv_dev_speakers.txt` in the corpus, else the 40 of SUPERB.

    Raises:
        UserError: the file of the corpus names nobody, or somebody who is not in dev/wav.
    """
    own = root / OWN_DEV_SPEAKERS
    if not own.is_file():
        return sorted(gzip.decompress(DEV_SPEAKERS.read_bytes()).decode().split())
    if not (names := sorted(set(own.read_text("utf-8-sig", errors="replace").split()))):
        raise UserError(f"{own} is empty. It should have a speaker of dev/wav in every line; or remove it.")
    folder = root / "dev" / "wav"
    if missing := [name for name in names if not (folder / name).is_dir()]:
        raise UserError(f"{own} names {missing[0]}, who is not in {folder}. Correct or remove that line.")
    return names


def dev_trials(recordings: Mapping[str, Sequence[str]], count: int = DEV_TRIALS) -> list[Trial]:
    """Trials for validation, half of them target trials, in turns; a function of the names alone.

    Target trials take all speakers in turn and, where a speaker has several videos, compare two of them.

    Args:
        recordings: speaker -> names of his recordings, of the speakers for validation.
        count: how many there are; fewer where there are not enough different pairs.

    Raises:
        UserError: there is no pair of one kind.
    """
    rng = random.Random(SEED)
    speakers = {name: sorted(recordings[name]) for name in sorted(recordings)}
    targets = _in_turn([_shuffled(_own_pairs(names), rng) for names in speakers.values()])
    everything = [(speaker, name) for speaker, names in speakers.items() for name in names]
    others = (len(everything) ** 2 - sum(len(names) ** 2 for names in speakers.values())) // 2
    wanted = min(count // 2, len(targets), others)
    if wanted == 0:
        raise UserError(
            f"There are no trials for validation over {len(speakers)} speakers of dev/wav with "
            f"{len(everything)} recordings: two speakers, and two recordings of one of them, are needed. "
            f"Name speakers of this corpus in the file {OWN_DEV_SPEAKERS} beside dev/, one in every line, or "
            "set downstream_expert.datarc.dev_meta_data to a list of trials."
        )
    nontargets: dict[tuple[str, str], None] = {}
    while len(nontargets) < wanted:
        (one, enrol), (other, test) = (everything[int(rng.random() * len(everything))] for _ in range(2))
        if one != other and (test, enrol) not in nontargets:
            nontargets[enrol, test] = None
    pairs = zip(targets, nontargets, strict=False)
    return [trial for target, other in pairs for trial in (Trial(True, *target), Trial(False, *other))]


def _own_pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of recordings of one speaker: of different videos, or all where there is one video only."""
    pairs = list(combinations(names, 2))
    return [pair for pair in pairs if _video(pair[0]) != _video(pair[1])] or pairs


def _video(name: str) -> str:
    return name.rpartition("/")[0]


def _shuffled(pairs: list[tuple[str, str]], rng: random.Random) -> list[tuple[str, str]]:
    """In an order that is the same in every version of Python, which is promised of `random()` only."""
    return [pair for _, pair in sorted((rng.random(), pair) for pair in pairs)]


def _in_turn(lists: Sequence[Sequence[tuple[str, str]]]) -> list[tuple[str, str]]:
    """The first of every list, the second of every list, and so on."""
    return [pair for turn in zip_longest(*lists) for pair in turn if pair is not None]
