"""How much memory a process may take."""

import torch

from s3prl.utility.memory import available_memory

CPU = torch.device("cpu")


def test_some_of_the_machines_memory_is_free(tmp_path, monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    everything = available_memory(CPU, tmp_path)
    assert 2**20 < everything < 2**50
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert 0 < available_memory(CPU, tmp_path) < everything


def test_a_container_has_no_more_than_its_limit(tmp_path, monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    (tmp_path / "memory.max").write_text("5000000\n")
    (tmp_path / "memory.current").write_text("3000000\n")
    assert available_memory(CPU, tmp_path) == 2_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory(CPU, tmp_path) > 2_000_000


def test_a_container_of_the_older_kind_has_no_more_than_its_limit(tmp_path, monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory/memory.limit_in_bytes").write_text("4000000")
    (tmp_path / "memory/memory.usage_in_bytes").write_text("5000000")
    assert available_memory(CPU, tmp_path) == 0
    (tmp_path / "memory/memory.limit_in_bytes").write_text("9223372036854771712")
    assert available_memory(CPU, tmp_path) > 2**20
