"""Old checkpoints, converted: plain values under the names of today, and the same hidden states."""

import argparse
import importlib.util
import shutil
import sys
import types

import golden
import numpy as np
import pytest
import torch
from public_package import public_package_or_skip

from s3prl import hub
from s3prl.upstream import fix_ckpt
from s3prl.upstream.tools.conversion import converted
from s3prl.utility import safe_load

PAST = "model_of_the_past"
OLD_LAYER_NORM = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}


def run(*arguments):
    return fix_ckpt.main([str(argument) for argument in arguments])


def aged(state):
    """A checkpoint of TERA as it was written in 2020, on several GPUs."""
    config = {**state["Config"]}
    config["online"] = config.pop("audio")
    old = {"Global_step": 200, "Settings": {"Config": config, "Paras": argparse.Namespace(seed=7)}}
    for section in ("Transformer", "SpecHead"):
        old[section] = {f"module.{name}": value for name, value in state[section].items()}
        for today, then in OLD_LAYER_NORM.items():
            old[section] = {name.replace(today, then): value for name, value in old[section].items()}
    return old


@pytest.mark.parametrize(
    ("fixture", "file", "entry"),
    [
        ("tera", "ckpt_pickled.ckpt", "tera_local"),
        ("mockingjay", "ckpt.ckpt", "mockingjay_local"),
        ("mockingjay_preln", "ckpt.ckpt", "mockingjay_local"),
        ("audio_albert", "ckpt.ckpt", "audio_albert_local"),
        ("distilhubert", "ckpt.ckpt", "distiller_local"),
        ("hubert_base", "ckpt_fairseq.pt", "hubert_local"),
    ],
)
def test_a_converted_file_is_plain_and_gives_the_same_hidden_states(fixture, file, entry, tmp_path, capsys):
    data, new = golden.load(fixture), tmp_path / "new" / "converted.ckpt"
    assert run(data.folder / file, "--new_ckpt_pth", new) == 0
    said = capsys.readouterr().out
    assert f"{data.folder / file} -> {new}" in said and f"-k {new}" in said
    state = torch.load(new, weights_only=True)  # not even a Namespace
    assert not isinstance(state.get("Args"), argparse.Namespace)
    golden.check(hub.get(entry)(ckpt=str(new), public_batch=True), data)


def test_a_file_of_2020_that_nothing_reads_any_more_is_read_again(tmp_path, capsys):
    data, old = golden.load("tera"), tmp_path / "model.ckpt"
    torch.save(aged(safe_load.load(data.folder / "ckpt.ckpt")), old)
    assert run(old) == 0
    said = capsys.readouterr().out
    for change in (
        "Settings.Config -> Config", "Config -> Upstream_Config", "Settings.Paras -> Args",
        "Global_step -> Step", "online -> Upstream_Config.audio", "without the prefix module.",
        "instead of gamma and beta", f"-u tera_local -k {tmp_path / 'model-new.ckpt'}",
    ):  # fmt: skip
        assert change in said, said
    state = torch.load(tmp_path / "model-new.ckpt", weights_only=True)
    assert (state["Step"], state["Args"], state["Config"]) == (200, {"seed": 7}, {})
    golden.check(hub.tera_local(ckpt=str(tmp_path / "model-new.ckpt"), public_batch=True), data)


def test_the_model_of_the_public_package_takes_a_converted_file(tmp_path):
    spec = importlib.util.spec_from_file_location(
        "public_model", public_package_or_skip() / "upstream/mockingjay/model.py"
    )
    public = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(public)
    run(golden.load("mockingjay").folder / "ckpt.ckpt", "--new_ckpt_pth", tmp_path / "new.ckpt")
    state = torch.load(tmp_path / "new.ckpt", weights_only=True)
    assert "transformer" not in state["Config"], "it looks there first"
    config = public.TransformerConfig(state["Upstream_Config"]["transformer"])
    dim = state["Transformer"]["input_representations.spec_transform.weight"].size(1)
    public.TransformerModel(config, dim).load_state_dict(state["Transformer"], strict=True)


@pytest.fixture
def pickle_of_the_past(tmp_path):
    """A checkpoint that holds an object of a module which is not there any more."""
    module = types.ModuleType(PAST)
    module.Schedule = type("Schedule", (), {"__module__": PAST})
    sys.modules[PAST] = module
    try:
        schedule = module.Schedule()
        schedule.rates, schedule.weights = [0.1, 0.2], torch.ones(2)
        state = safe_load.load(golden.load("npc").folder / "ckpt.ckpt")
        torch.save({**state, "Scheduler": schedule}, tmp_path / "npc.ckpt")
    finally:
        del sys.modules[PAST]
    return tmp_path / "npc.ckpt"


def test_a_full_pickle_is_opened_only_when_it_is_trusted(pickle_of_the_past, capsys):
    new = pickle_of_the_past.with_name("npc-new.ckpt")
    assert run(pickle_of_the_past) == 2
    assert "add --trust_checkpoint" in capsys.readouterr().err and not new.exists()
    assert run(pickle_of_the_past, "--trust_checkpoint") == 0
    assert "Scheduler: a dict instead of a Schedule" in capsys.readouterr().out
    state = torch.load(new, weights_only=True)
    assert state["Scheduler"]["rates"] == [0.1, 0.2]
    assert torch.equal(state["Scheduler"]["weights"], torch.ones(2))
    golden.check(hub.npc_local(ckpt=str(new), public_batch=True), golden.load("npc"))


def test_whatever_a_pickle_held_becomes_plain_or_is_named(tmp_path):
    class Options:
        def __init__(self):
            self.path, self.myself, self.call = tmp_path, self, len

    model = torch.nn.Linear(2, 1)
    state, changes = converted({"options": Options(), "model": model, "sizes": (1, torch.Size([2]))})
    assert state["options"] == {"path": str(tmp_path), "myself": None, "call": None}
    assert set(state["model"]) == {"weight", "bias"} and state["sizes"] == (1, [2])
    assert "options.myself: left out, since it contains itself" in changes
    assert "options.call: left out, a builtin_function_or_method" in changes
    assert "model: a dict instead of a Linear" in changes


def test_values_of_numpy_become_plain_so_that_the_file_can_be_read_again(tmp_path):
    state = {
        "Step": np.int64(3), "best": np.float64(0.5), np.str_("name"): np.str_("x"),
        "text": np.array(["a", "b"]),
        "table": {np.str_("key"): np.bool_(True), np.int64(4): np.zeros(2, np.float32)},
    }  # fmt: skip
    torch.save(converted(state)[0], tmp_path / "new.ckpt")
    found = torch.load(tmp_path / "new.ckpt", weights_only=True)
    assert torch.equal(found["table"].pop(4), torch.zeros(2))
    plain = {"Step": 3, "best": 0.5, "name": "x", "text": ["a", "b"], "table": {"key": True}}
    assert found == plain and type(found["best"]) is float and type(found["name"]) is str


def test_a_file_of_today_is_left_alone(tmp_path, capsys):
    source = golden.load("npc").folder / "ckpt.ckpt"
    shutil.copy(source, tmp_path / "npc.ckpt")
    assert run(tmp_path / "npc.ckpt") == 0
    said = capsys.readouterr().out
    assert "in the format of today; nothing was written" in said and "-u npc_local" in said
    assert [path.name for path in tmp_path.iterdir()] == ["npc.ckpt"]


def test_no_file_is_overwritten_and_damage_is_told(tmp_path, capsys):
    (tmp_path / "old-new.ckpt").write_text("mine")
    (tmp_path / "old.ckpt").write_bytes(b"PK damaged")
    assert run(tmp_path / "old.ckpt") == 2
    assert "old-new.ckpt already" in capsys.readouterr().err
    assert run(tmp_path / "old.ckpt", "--new_ckpt_pth", tmp_path / "other.ckpt", "--trust_checkpoint") == 2
    assert "old.ckpt is damaged" in capsys.readouterr().err


def test_a_downstream_run_of_the_public_package_is_converted_too(tmp_path, capsys):
    state = {"Downstream": {"module.head": torch.ones(1)}, "Args": argparse.Namespace(seed=3), "Config": {}}
    torch.save(state, tmp_path / "states-5.ckpt")
    assert run(tmp_path / "states-5.ckpt") == 0
    assert "checkpoint of a downstream run" in capsys.readouterr().out
    new = torch.load(tmp_path / "states-5-new.ckpt", weights_only=True)
    assert new["Args"] == {"seed": 3} and set(new["Downstream"]) == {"head"}
