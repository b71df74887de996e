"""Guides, messages and docstrings use the field's words; those that readers stumbled over stay out."""

import subprocess

import pytest
from conftest import ROOT

STUMBLED_OVER = {
    "goes before it": "precedes it",
    "look at padding": "are not batch-invariant",
    "looks at padding": "is not batch-invariant",
    "at once or not at all": "atomically",
    "nobody said": "is unknown",
    "another course of the run": "an earlier run",
    "could not be had": "could not be downloaded",
    "extracter": "extractor",
    "published figures": "published results",
}


@pytest.mark.parametrize(("odd", "plain"), STUMBLED_OVER.items())
def test_words_that_readers_stumbled_over_are_gone(odd, plain):
    tracked = subprocess.run(
        ["git", "ls-files", "*.py", "*.md", "*.yaml", "*.sh"], cwd=ROOT, capture_output=True, text=True
    )
    names = [name for name in tracked.stdout.split() if not name.startswith(("tests/", "benchmarks/"))]
    assert names
    found = [name for name in names if odd in " ".join((ROOT / name).read_text(encoding="utf-8").split())]
    assert not found, f"say {plain!r}"
