"""All upstreams by name, with the size, source and licence of their checkpoint, and whether it is cached.

    python -m s3prl.upstream.list
    python -m s3prl.upstream.list wav2vec 'm*_local'
    python -m s3prl.upstream.list --check-links

A dash stands for what is unknown or depends on a checkpoint of your own. --check-links asks every address
whether it still has its file, without fetching it; the exit code is 1 when one is dead.
"""

import fnmatch
import sys
from collections.abc import Sequence

from s3prl.utility.arguments import command_parser
from s3prl.utility.config import nearest
from s3prl.utility.errors import UserError, command

from . import registry
from .checkpoints import Checkpoint, table
from .interfaces import Featurizer
from .tools.links import Link, flaws, links_of
from .tools.text import aligned, in_units

FEATURES = ("baseline", "log_stft", "example")  # folders whose upstreams are built without a file
COLUMNS = ("name", "stride", "dim", "layers", "size", "cached", "licence", "source")
UNKNOWN = "-"
WEIGHTS = tuple(
    name + suffix for name in ("model.safetensors", "pytorch_model.bin") for suffix in ("", ".index.json")
)


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Print the table, or check its addresses."""
    parser = command_parser("list", __doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="only names that hold this, or fit a pattern such as 'wav*'"
    )
    parser.add_argument(
        "--check-links", "--check_links", action="store_true", help="ask every address for its file"
    )
    parser.add_argument("--timeout", type=float, default=30, help="seconds for an answer (default: 30)")
    options = parser.parse_args(argv)
    chosen = matching(options.names)
    if options.check_links:
        published = [row for row in table() if not options.names or set(row.names) & set(chosen)]
        return report_links(links_of(published), options.timeout)
    print(aligned([COLUMNS, *rows(chosen)]))
    print("\nstride: samples per frame at 16 kHz; layers: tensors in hidden_states; -: not known")
    for folder, reason in registry.failures().items():
        print(f"not importable: {folder}: {reason}")
    return 0


def matching(patterns: Sequence[str]) -> list[str]:
    """The names of the hub that fit one of the patterns (parts of names, or with `*`); without any, all.

    Raises:
        UserError: a pattern that no name fits.
    """
    names, found = registry.options(), set()
    for pattern in patterns:
        fitting = fnmatch.filter(names, pattern if set(pattern) & set("*?[") else f"*{pattern}*")
        if not fitting:
            raise UserError(f"No upstream is called like '{pattern}'.{nearest(pattern, names)}")
        found.update(fitting)
    return [name for name in names if name in found or not patterns]


def rows(names: Sequence[str] | None = None) -> list[tuple[str, ...]]:
    """A row for each of these names, by default for every name of the hub in alphabetical order."""
    published = {name: row for row in table() for name in row.names}
    return [
        _published(name, published[name]) if name in published else _unpublished(name)
        for name in (registry.options() if names is None else names)
    ]


def _published(name: str, row: Checkpoint) -> tuple[str, ...]:
    source = row.url if row.hub is None else f"hub: {row.hub}"
    if name != row.name:
        source = f"= {row.name}"
    size = UNKNOWN if row.size is None else in_units(row.size, "B", 1024)
    cached = "yes" if row.cached or _repository_cached(row.hub) else "no"
    cells = (UNKNOWN if cell is None else str(cell) for cell in (row.stride, row.dim, row.layers))
    return name, *cells, size, cached, row.licence or UNKNOWN, source


def _repository_cached(repository: str | None) -> bool:
    """Whether weights of a repository of the Hugging Face hub are on this machine."""
    if repository is None:
        return False
    from huggingface_hub import try_to_load_from_cache

    return any(isinstance(try_to_load_from_cache(repository, name), str) for name in WEIGHTS)


def _unpublished(name: str) -> tuple[str, ...]:
    """Entries of no published checkpoint: acoustic features, and those that need a file of the user's."""
    entry = registry.get(name)
    needs_file = name.endswith(registry.WITH_CHECKPOINT)
    if needs_file or not entry.__module__.startswith(tuple(f"s3prl.upstream.{one}." for one in FEATURES)):
        source = "the file given with -k or -g" if needs_file else UNKNOWN
        return name, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, source
    upstream = entry()
    featurizer = Featurizer(upstream)
    sizes = (featurizer.downsample_rate, featurizer.output_dim, featurizer.layer_count)
    cells = map(str, sizes)
    return name, *cells, UNKNOWN, UNKNOWN, UNKNOWN, "computed, no file"


def report_links(links: Sequence[Link], timeout: float) -> int:
    """Print what is wrong with each dead link; the exit code: 1 when there is one, else 0."""
    dead = 0
    for link, flaw in zip(links, flaws(links, timeout), strict=True):
        if flaw is not None:
            dead += 1
            print(f"dead: {link.name}: {link.url} ({flaw})")
    print(f"{len(links)} addresses asked, {dead} dead")
    return int(dead > 0)


if __name__ == "__main__":
    sys.exit(main())
