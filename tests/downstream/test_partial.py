"""Partial results of an evaluation: what was computed is found again, by the same model and options only."""

import argparse
from dataclasses import dataclass

import numpy as np
import pytest
import soundfile
import torch

from s3prl.downstream.common.dataset import LoaderSettings
from s3prl.downstream.common.items import Item
from s3prl.downstream.common.partial import PartialResults, key_of
from s3prl.downstream.common.task import Task
from s3prl.utility.recordings import Recording


@pytest.fixture
def partial(tmp_path):
    return PartialResults(tmp_path / "partial" / "test-0123456789abcdef")


@pytest.fixture
def table(partial):
    partial.folder.mkdir(parents=True)
    return partial.table("rows", 2, 3)


def test_what_was_added_is_found_when_the_table_is_opened_again(partial, table):
    values = torch.randn(2, 4, 3)
    table.add("one", values)
    again = partial.table("rows", 2, 3)
    assert "one" in again and "two" not in again and len(again) == 1
    assert torch.equal(again["one"], values)
    with pytest.raises(KeyError):
        again["two"]


def test_tables_of_other_shapes_do_not_mix(partial, table):
    table.add("one", torch.zeros(2, 1, 3))
    assert "one" not in partial.table("rows", 1, 3)
    assert "one" not in partial.table("others", 2, 3)


def test_what_another_process_adds_meanwhile_is_not_taken_for_an_earlier_try(partial, table):
    other = partial.table("rows", 2, 3)
    other.add("one", torch.zeros(2, 1, 3))
    assert "one" not in table and "one" in other


@pytest.mark.parametrize("cut", [1, 40])
def test_a_record_whose_bytes_are_damaged_does_not_exist(partial, table, cut, capsys):
    table.add("one", torch.randn(2, 5, 3))
    data = next(partial.folder.rglob("*.data"))
    data.write_bytes(data.read_bytes()[:-cut])
    assert "one" not in partial.table("rows", 2, 3)
    assert "damaged" in capsys.readouterr().err


def test_removing_leaves_the_results_of_other_splits(partial, table, tmp_path):
    table.add("one", torch.zeros(2, 1, 3))
    other = tmp_path / "partial/dev-0"
    other.mkdir()
    partial.remove()
    assert not partial.folder.exists() and other.is_dir()
    PartialResults(other).remove()
    assert not (tmp_path / "partial").exists()


def test_a_key_tells_another_excerpt_and_a_changed_file(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(1600), 16000)
    whole, part = Item("a", Recording(path), None), Item("a", Recording(path, 0.0, 0.05), None)
    before = key_of(whole)
    assert before == key_of(whole) != key_of(part)
    soundfile.write(path, np.zeros(3200), 16000)
    assert key_of(whole) != before


@dataclass
class Loading(LoaderSettings):
    train_batch_size: int = 1
    eval_batch_size: int = 2
    num_workers: int = 0


class Half(Task):
    """Of five items an earlier try has computed some."""

    name, metric = "half", argparse.Namespace(split="dev", worst=0.0)
    done: tuple = ()

    def items(self, split):
        return [Item(str(number), Recording(f"{number}.wav"), 0, samples=1) for number in range(5)]

    def unfinished(self, split, items):
        return [item for item in items if item.name not in self.done]


@pytest.mark.parametrize(
    "done, names",
    [
        ("", [["0", "1"], ["2", "3"], ["4"]]),
        ("01", [["2", "3"], ["4"]]),
        ("012", [["2", "3"], ["4"]]),  # the batch that was killed is computed whole
        ("01234", []),
    ],
)
def test_batches_of_a_second_try_are_those_of_the_first(done, names, tmp_path, monkeypatch):
    monkeypatch.setattr(Half, "done", tuple(done))
    task = Half(Loading(), expdir=tmp_path)
    loader = task.get_dataloader("test")
    assert [[item.name for item in items] for *_, items in loader] == names
    assert loader.dataset.finished == 5 - sum(map(len, names))
