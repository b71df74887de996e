"""`python -m s3prl.upstream.cache`: what a cache holds, whether it is sound, making space."""

import json
import os
import subprocess
import sys

import pytest
import torch
from conftest import ROOT

from s3prl.upstream.cache import journal as journals
from s3prl.upstream.cache.__main__ import main
from s3prl.upstream.cache.catalogue import prepare
from s3prl.upstream.cache.journal import Journal
from s3prl.upstream.cache.store import Store
from s3prl.utility.errors import UserError
from s3prl.utility.files import write_json

HUBERT, WAVLM = "hubert-0123456789abcdef", "wavlm-fedcba9876543210"
SHAPE = {"layers": 2, "dim": 8, "dtype": "float16"}
HALF_AN_HOUR = 1800 * 16000


@pytest.fixture(autouse=True)
def others_are_seen_at_once(monkeypatch):
    monkeypatch.setattr(journals, "RECHECK_SECONDS", 0)


def key(number):
    return number.to_bytes(16, "little")


def fill(folder, name, tier, numbers, **options):
    """A set of features [2, 4, 8]: 128 bytes for each utterance of half an hour."""
    about = {"upstream": name.split("-")[0], "output": "hidden_states", "tier": tier, **SHAPE}
    if numbers:
        (folder / name).mkdir(exist_ok=True)
        write_json(folder / name / "about.json", about)
    store = Store(folder / name, 2, 8, torch.float16, **options)
    for number in numbers:
        assert store.put(key(number), torch.full((2, 4, 8), float(number)), HALF_AN_HOUR)
    return store


@pytest.fixture
def cache(tmp_path):
    folder = tmp_path / "cache"
    prepare(folder)
    fill(folder, HUBERT, "frames", range(3))
    fill(folder, WAVLM, "mean", range(2))
    Journal(folder / "recordings", 16).add(key(1), bytes(16))
    return folder


def data_of(cache, name):
    (path,) = (cache / name).glob("*.data")
    return path


def cells(capsys, name):
    lines = capsys.readouterr().out.splitlines()
    return next(line.split() for line in lines if line.endswith(name))


def test_info_has_a_line_for_each_set_and_the_total(cache, capsys):
    assert main(["info", str(cache)]) == 0
    said = capsys.readouterr().out
    titles, hubert, wavlm, _, total = said.splitlines()
    assert titles.split() == [
        "upstream", "output", "layers", "dim", "tier", "dtype", "utterances", "hours", "size", "folder"
    ]  # fmt: skip
    assert hubert.split()[:8] == ["hubert", "hidden_states", "2", "8", "frames", "float16", "3", "1.50"]
    assert wavlm.split()[:8] == ["wavlm", "hidden_states", "2", "8", "mean", "float16", "2", "1.00"]
    size = sum(path.stat().st_size for path in (cache / HUBERT).iterdir())
    assert hubert.split()[8:] == [str(size), "B", HUBERT]
    assert total.startswith("2 sets, ") and " free on this disk" in total


def test_info_shows_what_a_run_adds_meanwhile(cache, capsys):
    store = fill(cache, HUBERT, "frames", range(3, 5))
    assert main(["info", str(cache)]) == 0
    assert cells(capsys, HUBERT)[6] == "5"
    store.put(key(9), torch.zeros(2, 4, 8), HALF_AN_HOUR)
    assert main(["info", str(cache)]) == 0
    assert cells(capsys, HUBERT)[6:8] == ["6", "3.00"]


def test_a_damaged_description_hides_nothing_but_itself(cache, capsys):
    (cache / HUBERT / "about.json").write_text("{not json")
    assert main(["info", str(cache)]) == 0
    assert cells(capsys, HUBERT)[:8] == ["-"] * 8
    assert main(["verify", str(cache)]) == 1
    assert f"{HUBERT}: about.json is damaged, so no run uses" in capsys.readouterr().out
    assert main(["clear", str(cache), HUBERT]) == 0
    assert not (cache / HUBERT).exists()


def test_verify_reads_everything_and_finds_nothing_in_a_sound_cache(cache, capsys):
    assert main(["verify", str(cache)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{HUBERT}: 3 utterances, 384 B, none damaged",
        f"{WAVLM}: 2 utterances, 256 B, none damaged",
    ]


def test_verify_names_damaged_records_until_they_are_computed_anew(cache, capsys):
    data = data_of(cache, HUBERT)
    content = bytearray(data.read_bytes())
    content[130] ^= 1  # of the second record
    data.write_bytes(content)
    assert main(["verify", str(cache)]) == 1
    said = capsys.readouterr().out
    assert (
        f"{HUBERT}: 3 utterances, 384 B, 1 damaged\n  {key(1).hex()} in {data.name}: wrong checksum" in said
    )
    assert f"{WAVLM}: 2 utterances, 256 B, none damaged" in said
    assert "Damaged features are computed anew the next time that a run needs them." in said
    store = fill(cache, HUBERT, "frames", [])
    assert store.get(key(1)) is None
    store.put(key(1), torch.full((2, 4, 8), 1.0), HALF_AN_HOUR)
    capsys.readouterr()
    assert main(["verify", str(cache)]) == 0
    assert "none damaged\n  1 damaged record computed anew since" in capsys.readouterr().out


def test_verify_counts_damaged_entries_and_what_no_entry_points_to(cache, capsys):
    (journal,) = (cache / HUBERT).glob("*.journal")
    content = bytearray(journal.read_bytes())
    content[3] ^= 1
    journal.write_bytes(content)
    with data_of(cache, WAVLM).open("ab") as data:
        data.write(bytes(1000))
    assert main(["verify", str(cache)]) == 1
    said = capsys.readouterr().out
    assert f"{HUBERT}: 2 utterances, 256 B, 1 damaged\n  1 damaged entry in its journals" in said
    assert "1.13 kB that no entry points to" in said


def test_a_long_list_of_damaged_records_is_cut(tmp_path, capsys):
    prepare(tmp_path)
    fill(tmp_path, HUBERT, "frames", range(15))
    os.truncate(data_of(tmp_path, HUBERT), 0)
    assert main(["verify", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert said.count("the file is too short") == 10 and "  and 5 more" in said


def test_clear_removes_an_upstream_by_its_name_or_its_folder(cache, capsys):
    assert main(["clear", str(cache), "hubert"]) == 0
    said = capsys.readouterr().out
    assert f"removed {HUBERT}: " in said and "1 set, " in said
    assert sorted(path.name for path in cache.iterdir()) == ["cache.json", "recordings", WAVLM]
    assert main(["clear", str(cache), WAVLM]) == 0
    assert sorted(path.name for path in cache.iterdir()) == ["cache.json", "recordings"]


def test_clear_without_a_name_empties_the_cache_which_stays_one(cache, capsys):
    assert main(["clear", str(cache)]) == 0
    assert "2 sets, " in capsys.readouterr().out
    assert [path.name for path in cache.iterdir()] == ["cache.json"]
    assert main(["info", str(cache)]) == 0
    prepare(cache)


def test_a_misspelt_name_is_answered_with_the_nearest_and_removes_nothing(cache, capsys):
    assert main(["clear", str(cache), "wavlm", "hubrt"]) == 2
    error = capsys.readouterr().err
    assert "The cache holds no 'hubrt'. Did you mean 'hubert'? It holds: hubert, " in error
    assert (cache / WAVLM).is_dir()


def test_clear_leaves_what_is_not_of_the_cache_and_names_it(cache, capsys):
    mine = cache / HUBERT / "notes.txt"
    mine.write_text("mine")
    (cache / HUBERT / "my.data").write_text("mine")
    (cache / "results").mkdir()
    assert main(["clear", str(cache)]) == 0
    assert f"no part of the cache: {mine}" in capsys.readouterr().out
    assert sorted(path.name for path in (cache / HUBERT).iterdir()) == ["my.data", "notes.txt"]
    assert (cache / "results").is_dir() and not (cache / WAVLM).exists()


@pytest.mark.parametrize("action", ["info", "verify", "clear"])
def test_a_folder_that_is_no_cache_is_refused(tmp_path, action, capsys):
    folder = tmp_path / HUBERT
    folder.mkdir()
    (folder / "0123456789abcdef.data").write_bytes(b"mine")
    assert main([action, str(tmp_path)]) == 2
    assert f"{tmp_path} is no cache of features: it has no cache.json" in capsys.readouterr().err
    assert (folder / "0123456789abcdef.data").is_file()


def test_a_run_goes_on_while_its_cache_is_cleared_and_fills_it_again(cache):
    run = fill(cache, HUBERT, "frames", range(20, 24))
    seen = run.get(key(20)).values
    assert main(["clear", str(cache)]) == 0
    assert seen.eq(20).all()
    for number in range(20, 30):
        stored = run.get(key(number))
        assert stored is None or stored.values.eq(number).all()
        run.put(key(number), torch.full((2, 4, 8), float(number)), HALF_AN_HOUR)
    assert main(["verify", str(cache)]) == 0
    assert len(fill(cache, HUBERT, "frames", [])) >= 6


def test_a_cache_is_made_once_and_never_among_other_files(tmp_path):
    prepare(tmp_path / "deep" / "cache")
    prepare(tmp_path / "deep" / "cache")
    assert json.loads((tmp_path / "deep/cache/cache.json").read_text()) == {"format": 1}
    with pytest.raises(UserError, match=r"no cache of features .* and not empty. Choose another folder"):
        prepare(tmp_path)
    (tmp_path / "deep/cache/cache.json").write_text("\x00")
    prepare(tmp_path / "deep" / "cache")
    assert json.loads((tmp_path / "deep/cache/cache.json").read_text()) == {"format": 1}
    (tmp_path / "deep/cache/cache.json").write_text('{"format": 2}')
    with pytest.raises(UserError, match="another version of this program"):
        prepare(tmp_path / "deep" / "cache")


def test_a_cache_that_may_only_be_read_is_used(cache, permissions_matter, capsys):
    for folder in (cache, cache / HUBERT):
        folder.chmod(0o555)
    try:
        prepare(cache)
        assert fill(cache, HUBERT, "frames", []).get(key(2)).values.eq(2).all()
        assert main(["info", str(cache)]) == 0 and main(["verify", str(cache)]) == 0
        assert main(["clear", str(cache)]) == 2
    finally:
        for folder in (cache, cache / HUBERT):
            folder.chmod(0o755)
    assert "Permission denied" in capsys.readouterr().err


def test_the_module_runs_in_the_root_of_a_clone(cache):
    command = [sys.executable, "-m", "s3prl.upstream.cache", "info", str(cache)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert HUBERT in result.stdout
