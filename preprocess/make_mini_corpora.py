"""Make corpora in miniature by speech synthesis, in the layout of the real ones.

    python preprocess/make_mini_corpora.py librispeech --output data/mini
    python preprocess/make_mini_corpora.py all

Needs: pip install -r requirements-mini.txt
"""

import argparse
import importlib
import pkgutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # so that s3prl is found in a clone

from s3prl.preprocess import mini
from s3prl.preprocess.mini.corpus import build_once
from s3prl.utility.arguments import Parser, command_parser
from s3prl.utility.errors import UserError, command


def recipes() -> dict[str, ModuleType]:
    """Every recipe of `preprocess/mini` by its name; its `__init__.py` says what a recipe is."""
    modules = [
        importlib.import_module(f"{mini.__name__}.{found.name}")
        for found in pkgutil.iter_modules(mini.__path__)
    ]
    return {module.NAME: module for module in modules if hasattr(module, "NAME")}


def make_corpus(
    recipe: ModuleType, output: Path, seed: int, n_jobs: int, force: bool, **options: int | str
) -> None:
    """Make one corpus, unless it is there already, and say what there is now and what to run next."""
    if seed < 0:
        raise UserError(f"--seed {seed} is negative. Give 0 or a positive number.")
    folder = output / recipe.FOLDER
    settings = {"recipe": recipe.NAME, "version": recipe.VERSION, "seed": seed, **options}
    started = time.monotonic()
    contents, new = build_once(
        folder, settings, lambda place: recipe.make(place, seed=seed, n_jobs=n_jobs, **options), force
    )
    state = f"made in {time.monotonic() - started:.0f} s" if new else "there already"
    print(f"{folder}: {state}")
    for split, has in contents.items():
        minutes = has["hours"] * 60
        print(f"  {split}: {has['utterances']} utterances, {minutes:.1f} minutes, {has['speakers']} speakers")
    print(f"Next: {recipe.next_command(folder)}")


@command
def main(arguments: Sequence[str] | None = None) -> None:
    """Make the corpora that the command line asks for."""
    found = recipes()
    parser = command_parser("corpora", __doc__)
    corpora = parser.add_subparsers(dest="corpus", required=True, metavar="CORPUS")
    for name, recipe in [*found.items(), ("all", None)]:
        text = (recipe.__doc__ if recipe else "Every mini corpus, in its default size.").strip()
        corpus = corpora.add_parser(
            name,
            help=text.splitlines()[0],
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        corpus.add_argument("--output", type=Path, default=Path("data/mini"), help="default: data/mini")
        corpus.add_argument("--seed", type=int, default=1337, help="of sentences and voices")
        corpus.add_argument("--n_jobs", type=int, default=-1, help="processes; -1 for one per CPU")
        corpus.add_argument("--force", action="store_true", help="make it again, replacing the one there")
        if recipe:
            recipe.add_options(corpus)
    options = vars(parser.parse_args(arguments))
    chosen = options.pop("corpus")
    for name, recipe in found.items():
        if chosen == name:
            make_corpus(recipe, **options)
        elif chosen == "all":
            defaults = Parser()
            recipe.add_options(defaults)
            make_corpus(recipe, **options, **vars(defaults.parse_args([])))


if __name__ == "__main__":
    sys.exit(main())
