"""Pre-training of CPC: cuts and batches, learning, checkpoints in the format of CPC_audio, exact resume."""

import importlib
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest
import soundfile
import torch
from conftest import metrics
from pretraining import (
    arguments,
    assert_resume_is_exact,
    config,
    datarc,
    losses,
    recordings,
    states,
    tones,
    train,
)
from public_package import public_package_or_skip

from s3prl import hub
from s3prl.pretrain.common.data import DataRc, Utterances
from s3prl.pretrain.cpc.data import Cuts, GroupedBatches, TaskSettings, cut_loader, speaker_of
from s3prl.pretrain.cpc.pretrain_expert import ModelConfig, UpstreamPretrainExpert
from s3prl.pretrain.runner import Runner
from s3prl.utility.config import load_yaml
from s3prl.utility.errors import UserError

CUT = 4800  # samples, 30 frames
MODEL = {
    "model": {"hiddenEncoder": 16, "hiddenGar": 16},
    "criterion": {"nPredicts": 3, "negativeSamplingExt": 10, "rnnMode": "linear"},
    "task": {"sizeWindow": CUT, "samplingType": "uniform"},
}
FOLDER = Path(__file__).parents[2] / "pretrain" / "cpc"


def changed(**sections):
    """MODEL with other fields in some sections."""
    return {name: {**fields, **sections.get(name, {})} for name, fields in MODEL.items()}


def with_speakers(folder, speakers=3, count=3):
    """folder/train/<speaker>/<n>.wav"""
    for speaker in range(speakers):
        recordings(folder / "raw", count, seed=speaker)
        (folder / "audio/train").mkdir(parents=True, exist_ok=True)
        (folder / "raw/train").rename(folder / "audio/train" / f"s{speaker}")
    return folder / "audio"


def test_the_loss_falls_and_accuracies_are_logged(tmp_path):
    root = recordings(tmp_path / "audio")
    optimizer = {"name": "Adam", "lr": 5e-3}
    train("cpc", tmp_path / "run", config(root, MODEL, optimizer, total_steps=80, log_step=20, save_step=80))
    found = losses(tmp_path / "run")
    assert found[0] < math.log(11) and found[-1] < 0.93 * found[0]
    last = metrics(tmp_path / "run")[-1]
    assert last["accuracy_1"] > 0.14 and 0 <= last["accuracy_3"] <= 1


@pytest.mark.parametrize("norm", ["layerNorm", "batchNorm"])
def test_the_upstream_of_a_checkpoint_gives_the_hidden_states_of_the_trained_network(norm, tmp_path):
    root = recordings(tmp_path / "audio")
    whole = config(root, changed(model={"normMode": norm}))
    network = train("cpc", tmp_path / "run", whole).expert.model["weights"].eval()
    ckpt = str(tmp_path / "run/states-6.ckpt")
    wavs = [wav[:9000] for wav in tones((9000, 9000))]
    with torch.no_grad():
        expected = network(torch.stack(wavs))
        for name in ("cpc_local", "modified_cpc"):
            found = hub.get(name)(ckpt=ckpt).eval()(wavs)["hidden_states"]
            assert all(map(torch.equal, found, expected))


def test_a_checkpoint_has_the_entries_of_cpc_audio_and_all_options_by_its_names(tmp_path):
    train("cpc", tmp_path / "run", config(recordings(tmp_path / "audio"), MODEL, total_steps=2))
    state = states(tmp_path / "run", 2)
    assert state["Upstream_Config"] == MODEL
    assert all(name.startswith(("gEncoder.", "gAR.baseNet.")) for name in state["weights"])
    assert state["cpcCriterion"]["wPrediction.project.weight"].shape == (3, 16, 16)
    given = {name: value for section in MODEL.values() for name, value in section.items()}
    assert given.items() <= state["config"].items() and state["config"]["arMode"] == "LSTM"


def test_a_run_that_was_interrupted_ends_with_the_same_weights(tmp_path):
    model = changed(
        task={"samplingType": "samespeaker"}, criterion={"rnnMode": "transformer", "dropout": True}
    )
    whole = config(with_speakers(tmp_path), model)
    assert_resume_is_exact("cpc", tmp_path, whole, ("weights", "cpcCriterion"))


def test_training_can_start_from_the_weights_of_another_run(tmp_path):
    root = recordings(tmp_path / "audio")
    first = train("cpc", tmp_path / "first", config(root, MODEL, total_steps=2))
    second = Runner(arguments("cpc", tmp_path / "second"), config(root, MODEL), states(tmp_path / "first", 2))
    for one, other in zip(first.expert.parameters(), second.expert.parameters(), strict=True):
        assert torch.equal(one, other)


def test_every_recording_is_cut_as_often_as_cuts_fit_and_cuts_do_not_overlap():
    lengths = [3 * CUT, 2 * CUT + 1000, CUT]
    cuts = Cuts(Utterances([(Path(f"{n}.wav"), length) for n, length in enumerate(lengths)], CUT, 160), CUT)
    assert (len(cuts), cuts.owners.tolist()) == (6, [0, 0, 0, 1, 1, 2])
    bounds = [(cuts[index][0].start, cuts[index][0].stop) for index in range(6)]
    samples = [tuple(round(edge * 16000) for edge in pair) for pair in bounds]
    assert samples[3:] == [(0, CUT + 500), (CUT + 500, 2 * CUT + 1000), (0, CUT)]
    assert samples[:3] == [(0, CUT), (CUT, 2 * CUT), (2 * CUT, 3 * CUT)]
    assert len({cuts[3][0].place for _ in range(5)}) == 5


def test_what_is_read_has_the_size_of_a_cut_and_shorter_recordings_are_left_out(tmp_path):
    root = recordings(tmp_path / "audio", 4)
    soundfile.write(root / "train/short.wav", torch.zeros(CUT - 1).numpy(), 16000)
    loader = cut_loader(DataRc(**datarc(root)), TaskSettings(sizeWindow=CUT, samplingType="samesequence"))
    dataset = loader.dataset
    assert dataset.dropped == 1 and "short.wav" not in {path.name for path in dataset.files}
    assert all(len(dataset.read(dataset[index][0])) == CUT for index in range(len(dataset)))
    assert dataset.seconds == pytest.approx(len(dataset) * 0.3)
    batches = list(loader.batch_sampler)
    assert all(len({dataset.owners[index] for index in batch}) == 1 for batch in batches)


def test_a_batch_is_of_one_speaker_and_no_cut_is_left_out(tmp_path):
    loader = cut_loader(DataRc(**datarc(with_speakers(tmp_path))), TaskSettings(sizeWindow=CUT))
    first, second = list(loader.batch_sampler), list(loader.batch_sampler)
    cuts = loader.dataset
    for batch in first:
        assert len({Path(cuts[index][0].path).parent for index in batch}) == 1 and len(batch) <= 4
    assert sorted(index for batch in first for index in batch) == list(range(len(cuts)))
    assert len(first) == len(loader.batch_sampler) and first != second


def test_the_speaker_is_looked_for_once_for_each_recording(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "s3prl.pretrain.cpc.data.speaker_of",
        lambda path, level: asked.append(path) or speaker_of(path, level),
    )
    loader = cut_loader(DataRc(**datarc(with_speakers(tmp_path))), TaskSettings(sizeWindow=CUT))
    assert len(asked) == len(set(asked)) == 9 < len(loader.dataset)


def test_a_group_is_divided_evenly():
    sizes = [len(batch) for batch in GroupedBatches([range(9), range(9, 12)], 8)]
    assert sorted(sizes) == [3, 4, 5]


def test_the_set_of_a_speaker_is_part_of_its_name():
    assert speaker_of(Path("train-clean-100/1044/104401/x.flac"), 1) == "train-clean-100/1044"
    assert speaker_of(Path("TRAIN/DR1/FCJF0/SA1.WAV"), 2) == "TRAIN/DR1/FCJF0"


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        ({"task": {"samplingType": "samespeaker"}}, {}, "no folder names the speaker of train.*samesequence"),
        ({}, {"libri_root": None}, "libri_root: CPC learns from waves"),
        (
            {"criterion": {"nPredict": 3}},
            {},
            r"upstream_config\.criterion.*nPredict.*Did you mean 'nPredicts'",
        ),
        ({"task": {"samplingType": "sequential"}}, {}, "sequential is not one of samespeaker"),
        ({"model": {"nLevelsGRU": 0}}, {}, r"model\.nLevelsGRU must be at least 1, not 0"),
        ({"task": {"sizeWindow": 400}}, {}, "leaves no position .* raise task.sizeWindow"),
        ({"task": {"sizeWindow": 160000}}, {}, "None of the 10 utterances .* shorter than 160000"),
    ],
)
def test_a_mistake_in_the_configuration_is_named_before_training(model, data, message, tmp_path):
    whole = config(recordings(tmp_path / "audio"), changed(**model), data=data)
    with pytest.raises(UserError, match=message):
        Runner(arguments("cpc", tmp_path / "run"), whole)


@pytest.mark.parametrize("name", ["config", "mini"])
def test_the_shipped_configurations_fit_the_method(name):
    runner, model = (load_yaml(FOLDER / f"{name}_{kind}.yaml") for kind in ("runner", "model"))
    settings = UpstreamPretrainExpert(runner["pretrain_expert"]["datarc"], model).config
    assert settings.criterion.negativeSamplingExt == 128 and settings.task.sizeWindow == 20480
    if name == "config":
        assert settings == ModelConfig(), "it states the defaults"


def test_the_public_package_gives_the_same_hidden_states(tmp_path, monkeypatch):
    folder = public_package_or_skip() / "upstream"
    package = ModuleType("public_upstream")
    package.__path__ = [str(folder)]
    monkeypatch.setitem(sys.modules, "public_upstream", package)
    monkeypatch.setitem(
        sys.modules, "torchaudio", ModuleType("torchaudio")
    )  # used by its other encoders only
    train("cpc", tmp_path / "run", config(recordings(tmp_path / "audio"), MODEL))
    ckpt = str(tmp_path / "run/states-6.ckpt")
    public = importlib.import_module("public_upstream.cpc.expert").UpstreamExpert(ckpt).eval()
    wavs = tones()
    with torch.no_grad():
        expected = public(wavs)["hidden_states"]
        found = hub.cpc_local(ckpt=ckpt).eval()(wavs)["hidden_states"]
    assert len(expected) == len(found) == 2
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
