"""Convert an old checkpoint, of a pre-training or of a downstream run, to the format of today.

    python -m s3prl.upstream.fix_ckpt old.ckpt                              # writes old-new.ckpt
    python -m s3prl.upstream.fix_ckpt old.ckpt --new_ckpt_pth new.ckpt --trust_checkpoint

The new file holds tensors and plain values only, so that reading it runs no code, under the names that are
used today; weights are the same. A file with objects of other programs is a pickle that can run any code: it
is opened only with --trust_checkpoint. Objects whose code is missing here do not matter then.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from s3prl.utility import safe_load
from s3prl.utility.arguments import command_parser
from s3prl.utility.commands import command_line
from s3prl.utility.errors import DamagedCheckpoint, UserError, command
from s3prl.utility.files import write_atomically
from s3prl.utility.weights import listed

from .families import ALIKE, NAMES, family_of
from .loading import STAND_INS
from .tools.conversion import converted, told


@command
def main(argv: Sequence[str] | None = None) -> None:
    """Convert one file, and say what has changed and how to use it."""
    parser = command_parser("convert", __doc__)
    add = parser.add_argument
    add("ckpt", type=Path, metavar="CKPT", help="the old file, which stays as it is")
    add(
        "--new_ckpt_pth", type=Path, metavar="FILE", help="the new file (default: CKPT with -new in its name)"
    )
    add("--trust_checkpoint", action="store_true", help="also run the code that a full pickle holds")
    options = parser.parse_args(argv)
    path = options.ckpt
    new = options.new_ckpt_pth or path.with_name(f"{path.stem}-new{path.suffix}")
    if new.exists():
        raise UserError(f"There is a {new} already. Name another file with --new_ckpt_pth, or remove it.")
    safe, state = opened(path, options.trust_checkpoint)
    result, changes = converted(state)
    if safe and not changes:
        print(f"{path} is in the format of today; nothing was written.")
    else:
        new.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(new, lambda file: torch.save(result, file))
        safe_load.load(new)
        print(f"{path} -> {new}\n{told(changes)}".rstrip())
    print(use(result, path if safe and not changes else new))


def opened(path: Path, trust: bool = False) -> tuple[bool, dict[str, Any]]:
    """Whether today's commands read the file as it is, and its content.

    Args:
        trust: also run the code of a full pickle.

    Raises:
        UserError: it cannot be read, or is a full pickle that is not trusted.
    """
    try:
        return True, safe_load.load(path)
    except DamagedCheckpoint:
        raise
    except UserError as error:
        try:
            return False, safe_load.load(path, stand_ins=STAND_INS)
        except UserError:
            if not trust:
                raise error from None
    try:
        return False, safe_load.load(path, trust=True)
    except UserError as error:
        if not isinstance(error.__cause__, ImportError | AttributeError):
            raise
        return False, _without_code(path, error)


def _without_code(path: Path, error: UserError) -> dict[str, Any]:
    """The content of a file whose classes are missing here: their objects become empty shells.

    Raises:
        UserError: `error`, where that cannot be done.
    """
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        return safe_load.load(path, stand_ins=names)
    except (UserError, ValueError, RuntimeError):
        raise error from None


def use(state: Mapping[str, Any], path: Path) -> str:
    """How to use a checkpoint."""
    family = family_of(state)
    if family is not None:
        name = " or ".join(NAMES[one] for one in (ALIKE if family in ALIKE else (family,)))
        return f"It is a checkpoint of {name}: -u {family}_local -k {path}"
    if "Downstream" in state:
        return f"It is a checkpoint of a downstream run: {command_line('evaluate')} -t SPLIT -e {path}"
    return f"It is of no family known here. It holds: {listed(state)}."


if __name__ == "__main__":
    sys.exit(main())
