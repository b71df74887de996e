"""What the commands that prepare features have in common: their options, and the run itself."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from s3prl.upstream.features.pipeline import features_from_config
from s3prl.utility.audio import AUDIO
from s3prl.utility.config import load_yaml
from s3prl.utility.device import choose_device
from s3prl.utility.errors import UserError
from s3prl.utility.paths import find_path
from s3prl.utility.recordings import BAD_AUDIO
from s3prl.utility.typed import truth

from .feature_kinds import KINDS, feature_config
from .feature_sets import Preparation
from .set_folder import SetFolder

NAMED = 10  # recordings that could not be used; all are in bad_audio.tsv


def add_feature_options(parser: argparse.ArgumentParser, kind: str, delta: bool) -> None:
    """Add the options of features and of their folder.

    Args:
        kind, delta: defaults.
    """
    add = parser.add_argument
    add("--output_path", type=Path, default=Path("./data"), help="where the folder goes (default: ./data)")
    add("--name", help="of the folder (default: made of corpus, feature and size, such as libri_fbank80)")
    add("--feature_type", choices=KINDS, help=f"default: {kind}")
    add_truth(parser, "--delta", delta, "append first differences")
    add_truth(parser, "--delta_delta", False, "append second differences too")
    add_truth(parser, "--apply_cmvn", True, "zero mean and unit variance over each utterance")
    defaults = {"feature_type": kind, "delta": delta, "delta_delta": False, "apply_cmvn": True}
    # None tells that an option was not given, which matters beside --config.
    parser.set_defaults(feature_defaults=defaults, **dict.fromkeys(defaults))
    add(
        "--config", type=Path, metavar="FILE",
        help="a config such as upstream/baseline/mel.yaml, in place of the four options above",
    )  # fmt: skip
    add("--n_jobs", type=int, default=-1, help="threads that read and write (default: -1, automatic)")
    add("--device", help="cuda, cpu, ... (default: cuda if there is one, else cpu)")


def add_truth(parser: argparse.ArgumentParser, option: str, default: bool, what: str) -> None:
    """Add an option that is True or False; without a value it is True."""
    parser.add_argument(
        option, nargs="?", const=True, default=default, metavar="True|False",
        type=lambda text: truth(text, option), help=f"{what} (default: {default})",
    )  # fmt: skip


def add_extension(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Add the option of the recordings' extensions."""
    parser.add_argument(
        "-a", "--audio_extension", "--audio_extention", dest="audio_extension", default=default,
        metavar=".EXT[,.EXT]", help=f"of the recordings, such as .wav,.flac (default: {default or 'any'})",
    )  # fmt: skip


def extensions_of(text: str | None) -> tuple[str, ...]:
    """`.wav,flac` -> (".wav", ".flac"); None is every format that may be audio."""
    if text is None:
        return AUDIO
    found = tuple("." + part.strip().lower().lstrip(".") for part in text.split(",") if part.strip(". "))
    if not found:
        raise UserError(f"--audio_extension {text!r}: write extensions, such as .flac or .wav,.mp3.")
    return found


def prepare_sets(
    options: argparse.Namespace,
    corpus: str,
    sets: Mapping[str, Mapping[str, Path]],
    folders: Mapping[str, Path],
) -> int:
    """Prepare the sets of a corpus as the options say; returns the exit code.

    Args:
        corpus: begins the name of the folder, where the options give none.
        sets: name -> utterance -> recording.
        folders: name -> where the recordings of the set lie.

    Raises:
        UserError: the options do not fit together, or the folder has features of others.
    """
    kind, where = _completed(options).feature_type, "the config of the features"
    if options.config is not None:
        path = find_path(options.config)
        kind, where, config = path.stem, str(path), load_yaml(path)
    elif options.delta_delta and not options.delta:
        raise UserError("--delta_delta needs first differences too: add --delta=True.")
    else:
        config = feature_config(kind, int(options.delta) + int(options.delta_delta), options.apply_cmvn)
    front = features_from_config(config, where)
    folder = SetFolder(options.output_path.expanduser() / (options.name or f"{corpus}_{kind}{front.dim}"))
    job = Preparation(folder, front, choose_device(options.device), options.n_jobs)
    with folder.opened({"made_by": "the front end of s3prl", **config}, folders):
        for part, recordings in sets.items():
            done = job.run(part, recordings)
            print(
                f"{done.table}: {len(done.frames)} utterances, {done.seconds / 3600:.2f} hours, "
                f"{front.dim} dimensions ({done.written} computed, {len(done.frames) - done.written} were "
                "there)"
            )
        folder.write_bad(job.bad, sets)
    problems = [f"{bad.utterance}: {bad.reason}" for bad in job.bad]
    return report(problems, "recordings", folder.folder / BAD_AUDIO)


def _completed(options: argparse.Namespace) -> argparse.Namespace:
    """The options with their defaults; raises a UserError where --config would overrule one that is given."""
    for name, default in options.feature_defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, default)
        elif options.config is not None:
            raise UserError(
                f"--config {options.config} says all of the features. Leave out --{name}, or change it there."
            )
    return options


def report(problems: Sequence[str], what: str, listed: Path | None = None) -> int:
    """Name what could not be used; returns the exit code, 1 if there is something.

    Args:
        what: it is, in the plural.
        listed: a file with all of them.
    """
    for problem in problems[:NAMED]:
        shown = problem.encode("utf-8", "backslashreplace").decode()  # the name may be what is bad
        print(f"failed: {shown}", file=sys.stderr)
    if not problems:
        return 0
    where = "" if listed is None else f" ({listed} lists them)"
    print(
        f"error: {len(problems)} {what} could not be used{where}. Restore or remove them and run the same "
        "command again: it does only what is missing.",
        file=sys.stderr,
    )
    return 1
