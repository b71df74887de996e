"""How much a cache may hold."""

import shutil
from collections import namedtuple

import pytest

from s3prl.upstream.cache import budget as budgets
from s3prl.upstream.cache.budget import Budget, parse_size, show_size
from s3prl.utility.errors import UserError

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(
    ("text", "size"),
    [("200G", 200 * 10**9), ("500M", 500 * 10**6), ("1.5T", 1500 * 10**9), ("64 GiB", 64 << 30),
     ("20kb", 20_000), ("123", 123), (7, 7), ("0", 0)],
)  # fmt: skip
def test_sizes_are_read_with_their_units(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1G", "1.2.3", "nan", "5X", "3iB", "1e3"])
def test_what_is_no_size_is_refused_with_the_option(text):
    with pytest.raises(UserError, match=r"--cache_limit .* is not a size\. .* such as 200G, 500M"):
        parse_size(text)


def test_sizes_are_shown_in_three_digits():
    assert [show_size(size) for size in (12, 3_400_000_000, 200 * 10**9)] == ["12 B", "3.4 GB", "200 GB"]


def test_what_other_processes_write_counts_too(tmp_path):
    budget = Budget(tmp_path, 1000)
    assert budget.allows(1000) and budget.reason is None
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "x.data").write_bytes(bytes(900))  # by another process
    budget.wrote(250)  # a quarter of the room: time to look again
    assert not budget.allows(101)
    assert budget.reason == "the cache is at its limit of 1 kB (--cache_limit)"
    assert budget.allows(100)


def test_space_that_was_made_meanwhile_is_used(tmp_path):
    (tmp_path / "x.data").write_bytes(bytes(900))
    budget = Budget(tmp_path, 1000)
    assert not budget.allows(200)
    (tmp_path / "x.data").unlink()
    assert budget.allows(200)


def test_the_disk_keeps_space_for_checkpoints(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 10**12 - 3 * 2**30, 3 * 2**30))
    budget = Budget(tmp_path / "cache", None)
    assert budget.allows(2 * 2**30) and not budget.allows(2 * 2**30 + 1)
    assert "nearly full (3221 MB free of 1000000 MB, kept for checkpoints)" in budget.reason
    small = Usage(1000, 900, 100)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: small)
    assert Budget(tmp_path, 10**6).allows(50) and not Budget(tmp_path, 10**6).allows(51)


def test_a_disk_that_does_not_say_how_full_it_is_has_the_limit_alone(tmp_path, monkeypatch):
    def fail(path):
        raise OSError("unknown")

    monkeypatch.setattr(budgets.shutil, "disk_usage", fail)
    assert Budget(tmp_path, None).allows(10**15)
    assert not Budget(tmp_path, 10).allows(11)
