"""Pre-training of APC, VQ-APC and NPC: losses, what an utterance's batch may change, checkpoints."""

import importlib
import importlib.util
import json
import subprocess
import sys
from collections import defaultdict
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import ROOT
from pretraining import assert_resume_is_exact, config, datarc, losses, recordings, states, tones, train
from public_package import public_package_or_skip

from s3prl import hub
from s3prl.pretrain.common.predictive import mean_error
from s3prl.training.randomness import seed_generators
from s3prl.upstream.common.vq import VqConfig, codebooks, codes_used
from s3prl.upstream.features.pipeline import features_from_config
from s3prl.utility.config import load_yaml
from s3prl.utility.errors import UserError

METHODS = ("apc", "vq_apc", "npc")
TINY = {
    "apc": {"hidden_size": 16, "num_layers": 3},
    "vq_apc": {
        "hidden_size": 16,
        "num_layers": 3,
        "vq": {"codebook_size": [8], "code_dim": [16], "gumbel_temperature": 0.5},
    },
    "npc": {
        "hidden_size": 16,
        "vq": {"codebook_size": [8, 8], "code_dim": [8, 8], "gumbel_temperature": 1.0},
    },
}


def model_config(name, **paras):
    """The method's own config, the network tiny; keywords are fields of `model.paras`."""
    whole = load_yaml(ROOT / "pretrain" / name / "config_model.yaml")
    whole["data"]["audio"]["feat_dim"] = 20
    whole["model"]["paras"] |= {**TINY[name], **paras}
    return whole


def build(name, root=Path(), **paras):
    module = importlib.import_module(f"s3prl.pretrain.{name}.pretrain_expert")
    seed_generators(1)
    return module.UpstreamPretrainExpert(datarc(root), model_config(name, **paras))


def features(lengths, dim=20):
    """A padded batch of noise as `encode` gives it."""
    generator = torch.Generator().manual_seed(0)
    batch = torch.zeros(len(lengths), max(lengths), dim)
    for row, length in zip(batch, lengths, strict=True):
        row[:length] = torch.randn(length, dim, generator=generator)
    return batch, list(lengths)


def padded(batch, by):
    """The same batch with more padding behind it."""
    values, frames = batch
    return torch.nn.functional.pad(values, (0, 0, 0, by)), frames


@pytest.mark.parametrize("name", METHODS)
def test_padding_changes_neither_the_loss_nor_its_gradients_nor_the_batch_norms(name):
    batch, results = features([40, 25]), []
    for given in (batch, padded(batch, 30)):
        expert = build(name, dropout=0.0)
        if expert.model.vq_layers is not None:
            expert.model.vq_layers.eval()  # Gumbel noise depends on the shape of the batch
        loss, _ = expert(given, defaultdict(list))
        loss.backward()
        results.append(
            [loss, *(p.grad for p in expert.parameters() if p.grad is not None), *expert.buffers()]
        )
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_apc_is_judged_by_the_frames_ahead_of_those_it_heard():
    expert = build("apc").eval()
    values, frames = features([40, 9, 4])  # the last is too short for a prediction
    loss, _ = expert((values, frames), defaultdict(list))
    total = count = 0
    for utterance, length in zip(values, frames, strict=True):
        if length > 5:
            alone = expert.model.prediction(expert.model(utterance[None, :length], [length])[-1])
            total += (alone[0, :-5] - utterance[:length][5:]).abs().sum()
            count += (length - 5) * 20
    torch.testing.assert_close(loss, total / count)
    assert expert.pictures["pred_spec"].shape == expert.pictures["true_spec"].shape == (35, 20)


def test_dropout_also_reaches_what_the_prediction_reads_as_in_the_public_package():
    expert = build("apc", dropout=0.9, residual=False)
    last = expert.model(*features([40]))[-1]
    assert 0.8 < (last == 0).float().mean() < 1


def test_a_frame_counts_as_much_as_another_whatever_its_utterance():
    prediction, target = torch.zeros(2, 3, 4), torch.ones(2, 3, 4)
    target[1] = 5
    assert mean_error(prediction, target, [3, 1]) == (3 * 1 + 1 * 5) / 4


def public_model(name, paras):
    """A network of the public package and the function that gives its prediction."""
    folder = "npc" if name == "npc" else "apc"
    path = public_package_or_skip() / "upstream" / folder
    spec = importlib.util.spec_from_file_location(
        f"public_{folder}", path / "__init__.py", submodule_search_locations=[str(path)]
    )
    sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    module = importlib.import_module(f"{spec.name}.{folder}")
    model = (module.NPC if name == "npc" else module.APC)(20, **deepcopy(paras))
    if name == "npc":
        return model, lambda values: model(values)[0]
    return model, lambda values: model(values, [values.size(1)] * len(values), testing=False)[0]


@pytest.mark.parametrize("name", METHODS)
def test_without_padding_the_loss_is_that_of_the_public_package(name):
    model, predict = public_model(name, model_config(name, dropout=0.0)["model"]["paras"])
    expert = build(name, dropout=0.0)
    model.load_state_dict(expert.model.state_dict())
    values, frames = features([30, 30])
    torch.manual_seed(5)
    ours, _ = expert((values, frames), defaultdict(list))
    torch.manual_seed(5)
    known, target = (values, values) if name == "npc" else (values[:, :-5], values[:, 5:])
    theirs = (predict(known) - target).abs().mean()
    torch.testing.assert_close(ours, theirs)
    for one, other in zip(expert.model.buffers(), model.buffers(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", METHODS)
def test_it_learns_and_its_checkpoint_gives_the_hidden_states_of_training(name, tmp_path):
    root = recordings(tmp_path / "audio", seconds=(0.3, 0.5))
    whole = config(root, model_config(name, dropout=0.0), {"name": "Adam", "lr": 1e-2}, total_steps=60)
    whole["runner"] |= {"log_step": 5, "save_step": 60}
    runner = train(name, tmp_path / "run", whole)
    found = losses(tmp_path / "run")
    assert found[-1] < 0.95 * found[0]
    state = states(tmp_path / "run", 60)
    assert state["config"] == state["Upstream_Config"] == whole["upstream_config"]
    expert = hub.get(f"{name}_local")(ckpt=str(tmp_path / "run" / "states-60.ckpt")).eval()
    network = runner.expert.eval()
    with torch.no_grad():
        ours = expert(tones())["hidden_states"]
        trained = network.model(*network.encode(tones()))
    assert len(ours) == len(trained)
    assert all(torch.equal(one, other) for one, other in zip(ours, trained, strict=True))


@pytest.mark.parametrize("name", METHODS)
def test_a_run_that_was_interrupted_ends_with_the_same_weights(name, tmp_path):
    whole = config(recordings(tmp_path / "audio", seconds=(0.3, 0.5)), model_config(name))
    assert_resume_is_exact(name, tmp_path, whole, ("model",))


def test_the_public_package_reads_our_checkpoints_and_gives_the_same_hidden_states(tmp_path):
    public = public_package_or_skip()
    root = recordings(tmp_path / "audio", seconds=(0.3, 0.5))
    named = {}
    for name in METHODS:
        train(name, tmp_path / name, config(root, model_config(name), total_steps=2))
        named[name] = tmp_path / name / "states-2.ckpt"
    torch.save(tones(), tmp_path / "wavs.pt")
    script = Path(__file__).with_name("public_states.py")
    arguments = [public, tmp_path / "wavs.pt", tmp_path / "states.pt"]
    pairs = [f"{name}={path}" for name, path in named.items()]
    subprocess.run([sys.executable, script, *map(str, arguments), *pairs], check=True, cwd=tmp_path)
    public_states = torch.load(tmp_path / "states.pt")
    for name, path in named.items():
        expert = hub.get(f"{name}_local")(ckpt=str(path)).eval()
        for wav, theirs in zip(tones(), public_states[name], strict=True):
            with torch.no_grad():
                ours = expert([wav])["hidden_states"]
            assert len(ours) == len(theirs)
            for one, other in zip(ours, theirs, strict=True):
                torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_sixteen_bits_train_too(name):
    expert = build(name)
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = expert(features([40, 25]), defaultdict(list))
    loss.backward()
    assert loss.dtype == torch.float32
    assert all(p.grad.isfinite().all() for p in expert.parameters() if p.grad is not None)


def test_a_collapsed_code_book_is_seen_in_the_log():
    groups = codebooks(VqConfig([8, 4], [6, 2]), 8)
    vectors = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    healthy = [int(used) for used in codes_used(vectors, groups)]
    torch.nn.init.zeros_(groups[1].vq_logits.weight)
    collapsed = [int(used) for used in codes_used(vectors, groups)]
    assert healthy[0] > 1 and healthy[1] > 1 and collapsed == [healthy[0], 1]


def test_codes_are_counted_for_every_group_when_a_log_is_due():
    expert, records = build("npc"), defaultdict(list)
    expert(features([40, 25]), records, global_step=3, log_step=2)
    assert not records
    expert(features([40, 25]), records, global_step=4, log_step=2)
    assert [1 <= int(records[f"codes-used-{group}"][0]) <= 8 for group in (0, 1)] == [True, True]


@pytest.mark.parametrize(("name", "kept"), [("apc", 2), ("npc", 3)])
def test_utterances_too_short_to_predict_anything_in_are_left_out_and_counted(name, kept, tmp_path):
    recordings(tmp_path, count=1)
    for number, samples in enumerate((400, 400 + 4 * 160, 400 + 5 * 160), start=1):  # 1, 5 and 6 frames
        noise = np.random.default_rng(number).normal(0, 0.1, samples)
        soundfile.write(tmp_path / "train" / f"{number}.wav", noise, 16000)
    dataset = build(name, tmp_path).get_train_dataloader().dataset
    assert (len(dataset), dataset.dropped) == (kept, 4 - kept)


def test_hearing_too_little_of_an_utterance_to_predict_anything_is_refused(tmp_path):
    expert = build("apc", recordings(tmp_path, count=1))
    expert.task = replace(expert.task, sequence_length=7)
    with pytest.raises(UserError, match=r"task\.sequence_length is 7, but at least 8 frames"):
        expert.get_train_dataloader()


def test_features_made_ready_can_be_trained_on(tmp_path):
    (tmp_path / "train").mkdir()
    rows = [",file_path,length,label"]
    for number, frames in enumerate((50, 30, 5)):
        np.save(tmp_path / "train" / f"{number}.npy", np.random.default_rng(0).normal(size=(frames, 20)))
        rows.append(f"{number},train/{number}.npy,{frames},")
    (tmp_path / "train.csv").write_text("\n".join(rows) + "\n")
    whole = config(tmp_path, model_config("apc"), total_steps=2)
    whole["pretrain_expert"]["datarc"] |= {"libri_root": None, "file_path": str(tmp_path)}
    runner = train("apc", tmp_path / "run", whole)
    assert len(runner.loader("train").dataset) == 2 and losses(tmp_path / "run")[-1] > 0


KALDI = {
    "kaldi": {"feat_type": "fbank", "fbank": {"num_mel_bins": 24, "use_log_fbank": True}},
    "delta": {"order": 0},
    "cmvn": {"use_cmvn": False},
}


def on_described(folder, settings):
    """A config for features of 24 dimensions whose folder says how they were made."""
    (folder / "train").mkdir()
    np.save(folder / "train" / "0.npy", np.random.default_rng(0).normal(size=(50, 24)).astype(np.float32))
    (folder / "train.csv").write_text(",file_path,length,label\n0,train/0.npy,50,\n")
    (folder / "settings.json").write_text(json.dumps({"made_by": "the front end of s3prl", **settings}))
    whole = config(folder, model_config("apc"), total_steps=2)
    whole["pretrain_expert"]["datarc"] |= {"libri_root": None, "file_path": str(folder)}
    return whole


def test_features_made_ready_give_a_checkpoint_that_computes_the_same_ones_from_waves(tmp_path):
    train("apc", tmp_path / "run", on_described(tmp_path, KALDI))
    upstream = hub.get("apc_local")(ckpt=str(tmp_path / "run" / "states-2.ckpt")).eval()
    expected, frames = features_from_config(KALDI)(tones())
    found, found_frames = upstream.features(tones())
    assert found_frames == frames
    torch.testing.assert_close(found, expected)


def test_features_of_another_size_are_told_with_the_field_that_sets_it(tmp_path):
    whole = on_described(tmp_path, KALDI)
    (tmp_path / "settings.json").unlink()
    with pytest.raises(
        UserError, match=r"have 24 dimensions.*Set config\.upstream_config\.data\.audio\.feat_dim"
    ):
        train("apc", tmp_path / "run", whole)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"delta": {"order": 1}}, "holds deltas, but APC and NPC read Kaldi features without"),
        ({"kaldi": None, "input": {"feat_type": "mel"}}, "holds spectra of an STFT"),
    ],
)
def test_features_that_a_checkpoint_could_not_describe_are_refused(tmp_path, change, told):
    settings = {name: value for name, value in {**KALDI, **change}.items() if value is not None}
    with pytest.raises(UserError, match=told):
        train("apc", tmp_path / "run", on_described(tmp_path, settings))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("apc", {"hiden_size": 16}, r"config\.upstream_config\.model\.paras.*hiden_size.*hidden_size"),
        ("apc", {"vq": TINY["vq_apc"]["vq"]}, r"APC takes no code book.*model\.paras\.vq.*-u vq_apc"),
        ("vq_apc", {"vq": None}, r"VQ-APC needs a code book.*-u apc"),
        ("vq_apc", {"hidden_size": 24}, r"code_dim \[16\] must add up to the 24"),
        ("apc", {"num_layers": 0}, r"model\.paras\.num_layers must be at least 1, not 0"),
        ("apc", {"dropout": 1.0}, r"model\.paras\.dropout must be from 0 to below 1"),
        (
            "vq_apc",
            {"vq": TINY["vq_apc"]["vq"] | {"gumbel_temperature": 0}},
            "gumbel_temperature must be above 0",
        ),
        ("npc", {"mask_size": 4}, r"model\.paras: mask_size must be odd, not 4"),
        ("npc", {"mask_size": 99}, r"kernel_size \d+ must be above mask_size \+ 2 \* n_blocks"),
        ("npc", {"activate": "rellu"}, r"model\.paras\.activate: rellu.*Did you mean 'relu'"),
    ],
)
def test_a_mistake_in_the_config_of_the_model_is_named_before_training(name, change, message):
    with pytest.raises(UserError, match=message):
        build(name, **change)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", ["config", "mini"])
def test_the_configs_that_come_with_a_method_are_valid(name, kind):
    folder = ROOT / "pretrain" / name
    runner = load_yaml(folder / f"{kind}_runner.yaml")
    module = importlib.import_module(f"s3prl.pretrain.{name}.pretrain_expert")
    expert = module.UpstreamPretrainExpert(runner["pretrain_expert"]["datarc"], folder / f"{kind}_model.yaml")
    assert expert.features.dim == 80 and expert.datarc.max_timestep == 0
