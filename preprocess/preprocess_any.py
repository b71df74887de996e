"""Features of any recordings, for training on ready features: <output_path>/NewData_<feature><size>.

    python preprocess/preprocess_any.py --train corpus/train --dev corpus/dev --test corpus/test
    python preprocess/preprocess_any.py --data_path corpus --sets train dev --feature_type mel --delta=True
    python preprocess/preprocess_any.py --audio_extention=.flac

Recordings are looked for at any depth. Without a folder the command asks for those of train, dev and test
(on a terminal). What is there and whole is not computed again; recordings that cannot be used are named at
the end, and the exit code is then 1.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # so that s3prl is found in a clone

from s3prl.preprocess.feature_options import (
    add_extension,
    add_feature_options,
    extensions_of,
    prepare_sets,
)
from s3prl.preprocess.feature_sets import find_set
from s3prl.utility.arguments import command_parser
from s3prl.utility.errors import UserError, command
from s3prl.utility.paths import files_below

SETS = ("train", "dev", "test")


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("preprocess_any", __doc__)
    for name in SETS:
        parser.add_argument(f"--{name}", type=Path, metavar="FOLDER", help=f"recordings of the {name} set")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="a set with another name; repeatable",
    )
    parser.add_argument(
        "--data_path", "--data_root", "-i", dest="data_path", type=Path, metavar="FOLDER",
        help="a corpus with a folder for each set",
    )  # fmt: skip
    parser.add_argument(
        "--sets", "--splits", dest="sets", nargs="+", help="only these folders of --data_path"
    )
    add_extension(parser, None)
    add_feature_options(parser, "fbank", delta=False)
    return parser


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Write the features; returns 1 when some recordings could not be used, else 0."""
    options = _parser().parse_args(arguments)
    extensions = extensions_of(options.audio_extension)
    given = _given(options, extensions) or _asked()
    folders = {name: folder.expanduser() for name, (folder, _) in given.items()}
    sets = {name: find_set(folder, extensions, given[name][1]) for name, folder in folders.items()}
    return prepare_sets(options, "NewData", sets, folders)


def _given(options: argparse.Namespace, extensions: Sequence[str]) -> dict[str, tuple[Path, str]]:
    """The folders that the command line gives, by sets, each with the option that gave it."""
    given = [(name, folder, f"--{name}") for name in SETS if (folder := getattr(options, name)) is not None]
    for text in options.set:
        name, equals, folder = text.partition("=")
        if not equals or not name or not folder or Path(name).name != name:
            raise UserError(f"--set {text}: write NAME=FOLDER, such as --set train=corpus/train.")
        given.append((name, Path(folder), "--set"))
    if options.data_path is not None:
        root = options.data_path.expanduser()
        names = dict.fromkeys(options.sets or _sets_in(root, extensions))
        given += [(name, root / name, "--data_path") for name in names]
    elif options.sets:
        raise UserError("--sets are folders of a corpus: give that with --data_path.")
    found: dict[str, tuple[Path, str]] = {}
    for name, folder, option in given:
        if name in found:
            raise UserError(f"The set {name} is given twice: {found[name][1]} and {option}. Choose one.")
        found[name] = (folder, option)
    return found


def _sets_in(root: Path, extensions: Sequence[str]) -> list[str]:
    """Folders of a corpus that hold recordings at any depth."""
    if not root.is_dir():
        raise UserError(f"--data_path: there is no folder {root}. Give the one with the sets.")
    if any(path.suffix.lower() in extensions for path in root.iterdir() if path.is_file()):
        raise UserError(
            f"{root} holds recordings itself, so it is one set. Say which: --train {root}, or "
            f"--set NAME={root}."
        )
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    found = [
        folder.name
        for folder in folders
        if any(path.suffix.lower() in extensions for path in files_below(folder))
    ]
    if not found:
        raise UserError(f"No folder of {root} has a recording ({', '.join(extensions)}).")
    return found


def _asked() -> dict[str, tuple[Path, str]]:
    """The folders that the user types; raises a UserError where nobody can, or nothing is typed."""
    found = {}
    if sys.stdin is not None and sys.stdin.isatty():
        with suppress(EOFError):  # Ctrl-D: no more sets
            for name in SETS:
                if folder := input(f"Folder with the recordings of the {name} set (Enter: none): ").strip():
                    found[name] = (Path(folder), f"The {name} set")
    if not found:
        raise UserError(
            "Which recordings? Give the folders of the sets with --train, --dev and --test, or a corpus with "
            "a folder for each set with --data_path."
        )
    return found


if __name__ == "__main__":
    sys.exit(main())
