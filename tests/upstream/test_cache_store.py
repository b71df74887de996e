"""The store of cached features: whatever happens to files and processes, features are right or missing."""

import errno
import multiprocessing
import os
import pickle
import random
import signal
import warnings
from pathlib import Path

import pytest
import torch
from conftest import files_of_at_most

from s3prl.upstream.cache import journal as journals
from s3prl.upstream.cache import store as stores
from s3prl.upstream.cache.budget import Budget
from s3prl.upstream.cache.journal import Journal
from s3prl.upstream.cache.store import Store

LAYERS, DIM = 3, 8
FORKED = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def others_are_seen_at_once(monkeypatch):
    monkeypatch.setattr(journals, "RECHECK_SECONDS", 0)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "hubert-0123456789abcdef"


def key(number):
    return number.to_bytes(16, "little")


def features(number, frames=None, dtype=torch.float16):
    generator = torch.Generator().manual_seed(number)
    return torch.randn(LAYERS, frames or 5 + number % 7, DIM, generator=generator).to(dtype)


def opened(folder, dtype=torch.float16, **options):
    return Store(folder, LAYERS, DIM, dtype, **options)


def filled(folder, numbers=range(4)):
    store = opened(folder)
    for number in numbers:
        assert store.put(key(number), features(number), samples=320 * (number + 1))
    return store


def right(store, numbers):
    """How many are there; all of those must be the features that were put in."""
    found = {number: store.get(key(number)) for number in numbers}
    for number, stored in found.items():
        frames = None if stored is None else stored.values.shape[1]
        assert stored is None or torch.equal(stored.values, features(number, frames))
    return sum(stored is not None for stored in found.values())


def only(folder, suffix) -> Path:
    (path,) = folder.glob(f"*{suffix}")
    return path


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_features_come_back_to_the_bit_from_the_mapped_file_itself(folder, dtype):
    opened(folder, dtype).put(key(1), features(1, dtype=dtype), samples=4000)
    opened(folder, dtype).put(key(2), features(2, dtype=dtype), samples=5000)
    store = opened(folder, dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stored = store.get(key(2))
    assert stored.values.dtype == dtype and torch.equal(stored.values, features(2, dtype=dtype))
    assert (stored.samples, store.samples(key(2)), store.frames(key(2))) == (5000, 5000, 7)
    assert stored.values.data_ptr() == store.get(key(2)).values.data_ptr()  # no copy
    assert stored.values.data_ptr() % 64 == 0
    assert store.get(key(3)) is None and store.samples(key(3)) is None and store.frames(key(3)) is None


def test_writing_to_features_that_were_read_harms_neither_the_file_nor_the_next_reader(folder):
    store = filled(folder)
    content = only(folder, ".data").read_bytes()
    store.get(key(1)).values.zero_()
    assert right(store, range(4)) == 4 and not store.damaged
    assert only(folder, ".data").read_bytes() == content


def test_features_of_another_type_are_converted_and_those_of_another_shape_refused(folder):
    store = opened(folder)
    values = features(1, dtype=torch.float32).transpose(0, 2).contiguous().transpose(0, 2)
    assert store.put(key(1), values, samples=1)
    assert torch.equal(store.get(key(1)).values, values.half())
    with pytest.raises(ValueError, match=r"\[3, 5, 9\] in a store of \[3, frames, 8\]"):
        store.put(key(2), torch.zeros(3, 5, 9), samples=1)


def test_what_is_there_already_is_not_stored_again(folder):
    store = filled(folder)
    size = only(folder, ".data").stat().st_size
    assert store.put(key(1), features(1), samples=640) and opened(folder).put(
        key(2), features(2), samples=960
    )
    assert only(folder, ".data").stat().st_size == size and len(store) == 4


def test_other_processes_see_each_record_as_soon_as_it_is_whole(folder):
    reader, writer = opened(folder), opened(folder)
    assert key(1) not in reader and len(reader) == 0
    for number in range(1, 4):
        writer.put(key(number), features(number), samples=number)
        assert key(number) in reader and len(reader) == number
        assert right(reader, range(1, 4)) == number


def test_the_files_of_others_are_looked_at_once_a_second(folder, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(journals, "RECHECK_SECONDS", 1.0)
    monkeypatch.setattr(journals.time, "monotonic", lambda: now[0])
    reader = opened(folder)
    assert key(1) not in reader
    filled(folder)
    assert key(1) not in reader
    now[0] += 1
    assert key(1) in reader


def fill(folder, numbers):
    store = opened(folder)
    for number in numbers:
        store.put(key(number), features(number), samples=number)
    os._exit(0)


def test_two_processes_that_fill_a_store_at_once_lose_nothing(folder):
    halves = (range(60), range(119, 39, -1))  # with 20 in common
    children = [FORKED.Process(target=fill, args=(folder, half)) for half in halves]
    for child in children:
        child.start()
    for child in children:
        child.join(timeout=60)
    store = opened(folder)
    assert len(store) == 120 and right(store, range(120)) == 120 and not store.damaged


def write_for_ever(folder, first):
    store = opened(folder)
    for number in range(first, 1 << 30):
        store.put(key(number), features(number, frames=2000), samples=number)


def test_a_writer_that_is_killed_leaves_whole_records_and_the_next_one_goes_on(folder):
    chance, reader, first = random.Random(0), opened(folder), 0
    for _ in range(3):
        child = FORKED.Process(target=write_for_ever, args=(folder, first))
        child.start()
        while child.is_alive() and len(reader) < first + chance.randint(2, 20):
            reader.refresh()
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        first = len(opened(folder))
        assert right(opened(folder), range(first)) == first > 0


def test_copies_in_worker_processes_read_and_write_without_disturbing_the_original(folder):
    store = filled(folder)
    assert right(store, range(4)) == 4
    copy = pickle.loads(pickle.dumps(store))
    assert right(copy, range(4)) == 4
    child = os.fork()
    if not child:
        try:
            found = right(store, range(4))
            store.put(key(10), features(10), samples=1)  # in a file of its own
            os._exit(0 if found == 4 else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    store.put(key(11), features(11), samples=1)
    assert right(store, (*range(4), 10, 11)) == 6 == right(opened(folder), (*range(4), 10, 11))


def test_a_torn_journal_costs_its_last_entry_only(folder, capsys):
    filled(folder)
    journal = only(folder, ".journal")
    content = journal.read_bytes()
    entry = len(content) // 4
    for cut in range(len(content) - entry, len(content)):
        journal.write_bytes(content[:cut])
        assert right(opened(folder), range(4)) == 3
    journal.write_bytes(content[: -entry // 2])
    again = filled(folder)  # what is missing is stored in a file of its own
    assert right(again, range(4)) == 4 and len(list(folder.glob("*.journal"))) == 2
    assert capsys.readouterr().err == ""


def test_a_truncated_data_file_costs_the_records_behind_the_cut(folder, capsys):
    store = filled(folder)
    data = only(folder, ".data")
    size = data.stat().st_size
    assert right(store, range(4)) == 4  # mapped in full, as a run has it
    for length in (size - 1, size // 2, 1, 0):
        os.truncate(data, length)
        assert right(opened(folder), range(4)) < 4
    assert right(store, range(4)) == 0 and store.damaged == 4
    said = capsys.readouterr().err
    assert said.count(f"{data}: damaged (the file is too short)") == 5
    assert f"s3prl.upstream.cache verify {folder.parent}` finds all" in said
    for number in range(4):
        assert store.put(key(number), features(number), samples=1)
    assert right(store, range(4)) == 4 == right(opened(folder), range(4))


def test_a_flipped_byte_anywhere_costs_one_record_and_is_said_once(folder, capsys):
    store = filled(folder)
    data, journal = only(folder, ".data"), only(folder, ".journal")
    at = store.copies(key(2))[0].offset
    for path, places in ((data, (at, at + 100)), (journal, range(0, journal.stat().st_size, 7))):
        sound = path.read_bytes()
        for place in places:
            broken = bytearray(sound)
            broken[place] ^= 0x10
            path.write_bytes(broken)
            capsys.readouterr()
            reader = opened(folder)
            assert right(reader, range(4)) == 3 and right(reader, range(4)) == 3
            assert capsys.readouterr().err.count("damaged") == (path == data)
            path.write_bytes(sound)
    assert right(opened(folder), range(4)) == 4


def test_a_damaged_record_is_stored_anew_and_the_new_one_is_used(folder):
    store = filled(folder)
    data = only(folder, ".data")
    data.write_bytes(bytes(data.stat().st_size))
    assert store.get(key(1)) is None and key(1) not in store and store.frames(key(1)) is None
    assert store.put(key(1), features(1), samples=1)
    assert right(store, [1]) == 1 == right(opened(folder), [1])
    assert len(opened(folder).copies(key(1))) == 2


def test_swapped_files_give_no_features_of_another_utterance(folder):
    filled(folder, [0, 7])
    filled(folder, [14, 21])
    one, other = sorted(folder.glob("*.data"))
    one.rename(folder / "x")
    other.rename(one)
    (folder / "x").rename(other)
    assert right(opened(folder), [0, 7, 14, 21]) == 0


def test_records_of_another_upstream_or_shape_do_not_count(folder):
    filled(folder)
    other = folder.with_name("hubert-fedcba9876543210")
    folder.rename(other)
    assert len(opened(other)) == 0
    other.rename(folder)
    assert len(Store(folder, LAYERS, DIM, torch.bfloat16)) == 0
    assert len(Store(folder, DIM, LAYERS, torch.float16)) == 0
    assert len(opened(folder)) == 4


def test_garbage_in_the_folder_is_a_miss_and_never_an_error(folder):
    filled(folder)
    chance = random.Random(1)
    data = only(folder, ".data")
    for size in (0, 1, 59, 60, 61, 60_000):
        (folder / f"{size}.journal").write_bytes(chance.randbytes(size))
        (folder / f"{size:016x}.data").write_bytes(chance.randbytes(size))
    (folder / "folder.journal").mkdir()
    (folder / "nowhere.journal").symlink_to("nowhere.journal")
    os.mkfifo(folder / "pipe.journal")
    assert len(opened(folder)) == 4 and right(opened(folder), range(4)) == 4
    data.unlink()
    for make in (Path.mkdir, os.mkfifo, Path.touch):
        make(data)
        store = opened(folder)
        assert right(store, range(4)) == 0 and store.damaged == 4
        store.prefetch(key(1))
        data.rmdir() if data.is_dir() else data.unlink()
    assert right(opened(folder), range(4)) == 0


def test_files_that_must_not_be_read_or_written_are_misses_told_once(folder, capsys, permissions_matter):
    filled(folder)
    only(folder, ".data").chmod(0)
    store = opened(folder)
    assert right(store, range(4)) == 0
    assert "damaged (Permission denied)" in capsys.readouterr().err
    folder.chmod(0o555)
    try:
        assert not store.put(key(1), features(1), samples=1)
        assert not store.put(key(2), features(2), samples=1)
    finally:
        folder.chmod(0o755)
    said = capsys.readouterr().err
    assert said.count("Permission denied: features that are not cached yet are computed as without") == 1
    assert "Permission denied" in store.full


def test_a_full_disk_ends_the_storing_and_what_was_stored_stays(folder, capsys):
    store, size = opened(folder), features(0, frames=100).nbytes
    with files_of_at_most(3 * size + 10):
        stored = [store.put(key(number), features(number, frames=100), samples=1) for number in range(6)]
    assert stored == [True] * 3 + [False] * 3
    assert capsys.readouterr().err.count("File too large") == 1 and "File too large" in store.full
    assert right(store, range(6)) == 3 == right(opened(folder), range(6))
    assert only(folder, ".data").stat().st_size == 3 * size  # the part that did fit was cut off
    assert right(filled(folder, range(3, 6)), range(6)) == 6  # the next run goes on


def test_a_disk_that_is_full_for_the_journal_alone_leaves_no_bytes_of_the_record(folder, monkeypatch):
    store = filled(folder, [0])
    size = only(folder, ".data").stat().st_size

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Journal, "add", full)
    assert not store.put(key(1), features(1), samples=1)
    assert only(folder, ".data").stat().st_size == size and right(store, range(2)) == 1


def test_at_the_limit_nothing_more_is_stored_and_nothing_is_removed(folder, capsys):
    size = features(0, frames=50).nbytes
    store = opened(folder, budget=Budget(folder.parent, 4 * size))
    stored = [store.put(key(number), features(number, frames=50), samples=1) for number in range(8)]
    assert stored == [True] * 3 + [False] * 5
    said = capsys.readouterr().err
    assert said.count("the cache is at its limit of 9.6 kB (--cache_limit): features that are not") == 1
    assert right(store, range(8)) == 3
    assert store.put(key(0), features(0), samples=1)  # there already


def test_records_are_read_into_memory_where_files_cannot_be_mapped(folder, monkeypatch):
    filled(folder)

    def refuse(*_, **__):
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(stores.mmap, "mmap", refuse)
    store = opened(folder)
    assert right(store, range(4)) == 4 and not store.damaged
    os.truncate(only(folder, ".data"), 100)
    assert right(store, range(4)) == 0 and store.damaged == 4


def test_data_files_are_followed_by_others_and_few_are_open_at_a_time(folder, monkeypatch):
    monkeypatch.setattr(stores, "LARGEST_FILE", 1000)
    monkeypatch.setattr(stores, "MOST_MAPS", 2)
    store = filled(folder, range(12))
    assert len(list(folder.glob("*.data"))) > 3
    views = [store.get(key(number)).values for number in range(12)]
    assert all(torch.equal(view, features(number)) for number, view in enumerate(views))
    assert len(store._maps) == 2
    store.prefetch(key(3))
    store.prefetch(key(99))


def test_a_journal_keeps_every_value_of_a_key_the_newest_last(tmp_path):
    journal = Journal(tmp_path / "recordings", value_bytes=2)
    assert journal.get(key(1)) == []
    journal.add(key(1), b"ab")
    Journal(tmp_path / "recordings", value_bytes=2).add(key(1), b"cd")
    assert journal.get(key(1)) == [b"ab"]
    journal.refresh()
    assert journal.get(key(1)) == [b"ab", b"cd"] and list(journal) == [key(1)]
    with pytest.raises(ValueError, match="16 bytes and a value 2"):
        journal.add(b"short", b"ab")
