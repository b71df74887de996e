"""Write the lists of IEMOCAP's five folds, which emotion recognition else makes for itself.

python3 IEMOCAP_preprocess.py /path/to/IEMOCAP

For each session, <root>/meta_data/Session<i>/test_meta_data.json lists its utterances and
train_meta_data.json those of the other four, sorted by session, file name and line.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # a script: what Python put first is this folder, and the import name is two above it
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from s3prl.downstream.common.corpora import iemocap
from s3prl.utility.arguments import Parser
from s3prl.utility.errors import UserError, command
from s3prl.utility.files import write_json


@command
def main(arguments: Sequence[str] | None = None) -> None:
    """Write the lists and say how long they are."""
    parser = Parser(description=__doc__.split("\n")[0])
    parser.add_argument("root", type=Path, help="the folder that holds Session1 to Session5")
    parser.add_argument("--output", type=Path, help="where the lists go (default: meta_data in the root)")
    options = parser.parse_args(arguments)
    iemocap.check_folder(options.root)
    output = options.output or options.root / iemocap.LISTS
    missing: list[Path] = []
    for session in iemocap.SESSIONS:
        sizes = {}
        for part in ("train", "test"):
            found = iemocap.utterances(options.root, iemocap.sessions_of(session, part))
            _write(iemocap.list_of(output, session, part), iemocap.list_content(found))
            sizes[part] = len(found)
            if part == "test":
                missing += [path for one in found if not (path := options.root / one.path).is_file()]
        print(f"{output / session}: {sizes['train']} utterances to train on, {sizes['test']} to test on")
    if missing:
        print(
            f"warning: {len(missing)} of the utterances have no recording (the first: {missing[0]}). "
            "Is the archive fully extracted? Training stops at them, unless --bad_audio skip is given.",
            file=sys.stderr,
        )


def _write(path: Path, content: dict) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, content)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}). Training needs no lists: it makes them itself. To "
            "have them all the same, name another folder with --output, and set "
            "downstream_expert.datarc.meta_data to it."
        ) from error


if __name__ == "__main__":
    sys.exit(main())
