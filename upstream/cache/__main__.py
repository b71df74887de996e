"""What a cache of features (`--cache DIR`) holds, whether it is sound, and how to make space.

    python -m s3prl.upstream.cache info DIR
    python -m s3prl.upstream.cache verify DIR
    python -m s3prl.upstream.cache clear DIR                          (all of it)
    python -m s3prl.upstream.cache clear DIR hubert wavlm_large       (what these upstreams have computed)
    python -m s3prl.upstream.cache clear DIR hubert-0123456789abcdef  (one line of info)

All three work while runs read and write the cache. Nothing can be lost with it: features that are missing,
damaged or removed are computed again when a run needs them.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from s3prl.utility.arguments import Parser, command_parser
from s3prl.utility.errors import command
from s3prl.utility.progress import Progress

from ..tools.text import aligned
from .budget import folder_size, show_size
from .catalogue import RECORDINGS, CachedSet, check, chosen, examine, hours, records_size, remove, sets_in
from .identity import ABOUT

COLUMNS = ("upstream", "output", "layers", "dim", "tier", "dtype", "utterances", "hours", "size", "folder")
UNKNOWN = "-"
NAMED = 10  # damaged records of a set
ANEW = "Damaged features are computed anew the next time that a run needs them."


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Do what the first word says; 1 when `verify` finds damage."""
    options = parser().parse_args(argv)
    check(options.folder)
    if options.action == "clear":
        return clear(options.folder, options.names)
    return {"info": info, "verify": verify}[options.action](options.folder)


def parser() -> Parser:
    """The command line."""
    parser = command_parser("cache", __doc__)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_action(actions, "info", "list what is in it, with sizes")
    _add_action(actions, "verify", "read every record; exit code 1 if one is damaged")
    _add_action(actions, "clear", "remove all features, or some").add_argument(
        "names", metavar="NAME", nargs="*", help="an upstream, or a folder as info lists it (default: all)"
    )
    return parser


def _add_action(actions: argparse._SubParsersAction, name: str, text: str) -> argparse.ArgumentParser:
    action = actions.add_parser(name, help=text, description=text)
    action.add_argument("folder", metavar="DIR", type=Path, help="the folder that --cache was given")
    return action


def info(folder: Path) -> int:
    """Print a line for each set, and the total."""
    sets = sets_in(folder)
    if sets:
        print(aligned([COLUMNS, *map(row, sets)]), end="\n\n")
    total, free = show_size(folder_size(folder)), show_size(shutil.disk_usage(folder).free)
    print(f"{count(len(sets), 'set')}, {total} in all; {free} free on this disk")
    return 0


def row(one: CachedSet) -> tuple[str, ...]:
    """What there is to say of a set, by COLUMNS."""
    known = [str(one.about.get(name, UNKNOWN)) for name in COLUMNS[:6]]
    store = one.store()
    amounts = [UNKNOWN] * 2 if store is None else [str(len(store)), f"{hours(store):.2f}"]
    return (*known, *amounts, show_size(one.size), one.folder.name)


def verify(folder: Path) -> int:
    """Read every record, and print what is wrong; 1 when an utterance has no sound record."""
    stores = {one.folder.name: one.store() for one in sets_in(folder)}
    damaged = unused = 0
    for name, store in stores.items():
        if store is None and not (folder / name / ABOUT).exists():
            print(f"{name}: made by a run whose cache was cleared meanwhile; the next one goes on with it")
            continue
        if store is None:
            print(f"{name}: about.json is damaged, so no run uses these features; `clear` removes them")
            damaged += 1
            continue
        with Progress(records_size(store), name, "B", scaled=True, leave=False) as progress:
            found = examine(store, progress.update)
        flaws = len(found.damaged) + found.entries
        size = show_size(found.size)
        print(f"{name}: {count(found.utterances, 'utterance')}, {size}, {flaws or 'none'} damaged")
        for key, path, reason in found.damaged[:NAMED]:
            print(f"  {key.hex()} in {path.name}: {reason}")
        if len(found.damaged) > NAMED:
            print(f"  and {len(found.damaged) - NAMED} more")
        if found.entries:
            print(f"  {count(found.entries, 'damaged entry', 'damaged entries')} in its journals")
        if found.superseded:
            print(f"  {count(found.superseded, 'damaged record')} computed anew since")
        damaged, unused = damaged + flaws, unused + found.unused
    if unused:
        print(f"{show_size(unused)} that no entry points to: left by a killed process, or being written")
    if damaged:
        print(ANEW)
    return int(damaged > 0)


def clear(folder: Path, names: Sequence[str]) -> int:
    """Remove the sets of these names, or everything, and print what that was."""
    sets = chosen(sets_in(folder), names)
    sizes = {one.folder: one.size for one in sets}
    if not names and (folder / RECORDINGS).is_dir():
        sizes[folder / RECORDINGS] = folder_size(folder / RECORDINGS)
    for place, size in sizes.items():
        left = remove(place)
        print(f"removed {place.name}: {show_size(size)}")
        for path in left:
            print(f"  left there, because it is no part of the cache: {path}")
    print(f"{count(len(sets), 'set')}, {show_size(sum(sizes.values()))} in all")
    return 0


def count(number: int, one: str, many: str = "") -> str:
    """`1 set`, `2 sets`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


if __name__ == "__main__":
    sys.exit(main())
