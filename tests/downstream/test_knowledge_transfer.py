"""Ways to use a pre-trained model for a task: a probe on its layers, fine-tuning, augmentation, options."""

import json
import runpy
import sys
from pathlib import Path

import phones
import pytest
import soundfile
import torch
import yaml
from conftest import ROOT, metrics, same

from s3prl.training import checkpoint as checkpoints
from s3prl.upstream.interfaces import UpstreamBase
from s3prl.utility.config import load_yaml

TERA = ["-u", "tera_local", "-k", ROOT / "tests/data/tera/ckpt.ckpt"]
STEPS = 3
OPTIONS = {"spec_aug": True, "dropout": 0.5}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return phones.make_phone_corpus(tmp_path_factory.mktemp("phones"))


@pytest.fixture
def train(root, downstream):
    """Train a probe on TERA for some steps; returns the states that its checkpoint has."""
    config = load_yaml(ROOT / "downstream/phone_linear/mini.yaml")
    config["runner"].update(total_steps=STEPS, log_step=1, eval_step=STEPS, save_step=STEPS)
    config["runner"].update(eval_dataloaders=["dev"], draw_curves=False)
    config.pop("scheduler")
    config["downstream_expert"]["datarc"].update(
        libri_root=f"{root}/LibriSpeech", phone_path=f"{root}/labels", split_path=f"{root}/labels",
        bucket_file=None, num_workers=0, train_batch_size=4,
    )  # fmt: skip
    Path("probe.yaml").write_text(yaml.safe_dump(config))
    Path("options.yaml").write_text(yaml.safe_dump(OPTIONS))

    def run(name, *options):
        arguments = ["-m", "train", "-d", "phone_linear", "-c", "probe.yaml", *TERA, "-n", name, *options]
        assert downstream(*arguments) == 0
        return checkpoints.load(f"result/downstream/{name}/states-{STEPS}.ckpt")

    return run


def losses(name):
    """The training loss of each step."""
    lines = metrics(Path("result/downstream") / name)
    return [value for line in lines for key, value in line.items() if key.endswith("loss")][:STEPS]


def pretrained():
    return checkpoints.load(TERA[-1])["Transformer"]


def encoder_of(states):
    """The transformer in a fine-tuned upstream, by its names in TERA's own checkpoint."""
    return {name.removeprefix("model."): value for name, value in states["Upstream"].items()}


def test_by_default_a_weighted_sum_of_all_layers_is_learned_on_a_frozen_model(train):
    states = train("sum")
    weights = states["Featurizer"]["weights"]
    assert weights.shape == (4,) and weights.abs().min() > 0
    assert "Upstream" not in states


def test_one_layer_is_chosen_by_its_number_or_as_the_last(train):
    for name, options in {
        "last": ["-s", "last_hidden_state"],
        "three": ["-l", "3"],
        "end": ["-l", "-1"],
    }.items():
        assert not train(name, *options)["Featurizer"]
    assert losses("last") == losses("three") == losses("end")
    train("one", "-l", "1")
    assert losses("one") != losses("last")


def test_fine_tuning_changes_every_layer_and_is_evaluated_as_it_was_trained(train, downstream):
    states = train("tuned", "-f")
    tuned, before = encoder_of(states), pretrained()
    changed = [
        name for name, value in tuned.items() if name in before and not torch.equal(value, before[name])
    ]
    assert len(changed) > 0.9 * len(before), changed
    scores = {}
    for number in range(2):
        best = "result/downstream/tuned/dev-best.ckpt"
        assert downstream("-m", "evaluate", "-t", "dev", "-e", best) == 0
        scores[number] = json.loads(Path("result/downstream/tuned/result.json").read_text())["metrics"]
    trained = metrics(Path("result/downstream/tuned"))[-1]
    assert scores[0] == scores[1]
    assert any(value == pytest.approx(scores[0]["acc"], abs=1e-6) for value in trained.values())


def test_fine_tuned_weights_serve_a_frozen_probe_too(train):
    tuned = train("tuned", "-f")
    train("probe", "-i", f"result/downstream/tuned/states-{STEPS}.ckpt")
    probe = checkpoints.load(f"result/downstream/probe/states-{STEPS}.ckpt")
    assert same(dict(probe["Upstream"]), dict(tuned["Upstream"]))


def test_specaugment_is_added_to_a_task_that_has_none(train, monkeypatch):
    from s3prl.downstream.specaug import SpecAug

    seen, forward = [], SpecAug.forward
    monkeypatch.setattr(SpecAug, "forward", lambda self, found: seen.append(self) or forward(self, found))
    assert train("defaults", "-o", "+config.specaug={}")["Config"]["specaug"] == {}
    train("masks", "-o", "+config.specaug.apply_time_warp=False,,+config.specaug.num_time_mask=1")
    train("plain")
    assert len(seen) == 2 * STEPS  # and not in evaluation
    assert seen[0].time_warp_window > 0 and seen[-1].time_warp_window == 0 and seen[-1].num_time_mask == 1
    assert len({tuple(losses(name)) for name in ("defaults", "masks", "plain")}) == 3


def test_specaugment_and_dropout_of_the_options_file_act_in_fine_tuning(train, capsys):
    states = {}
    for name, options in {"plain": {}, "augmented": {"spec_aug": True}, "dropped": {"dropout": 0.5}}.items():
        Path("options.yaml").write_text(yaml.safe_dump({"dropout": 0.0, **options}))
        states[name] = train(name, "-f", "-g", "options.yaml")
    found = [losses(name) for name in states]
    assert found[0] != found[1] and found[0] != found[2] and found[1] != found[2]
    assert "do nothing" not in capsys.readouterr().err
    for name in states:
        assert states[name]["Args"]["upstream_model_config"].endswith("options.yaml")


def test_options_that_do_nothing_or_contradict_are_told(train, downstream, capsys):
    train("frozen", "-g", "options.yaml")
    assert "tera is frozen, where its options spec_aug and dropout do nothing" in capsys.readouterr().err
    train("plain")
    assert losses("frozen") == losses("plain")
    Path("options.yaml").write_text("no_grad: True\n")
    assert (
        downstream(
            "-m",
            "train",
            "-d",
            "phone_linear",
            "-c",
            "probe.yaml",
            *TERA,
            "-f",
            "-g",
            "options.yaml",
            "-n",
            "x",
        )
        == 2
    )
    assert "no_grad: True" in capsys.readouterr().err
    assert UpstreamBase.misfit(None, True) is None


def example(*arguments):
    """Run upstream/example/example_finetune.py; returns its exit code."""
    script = str(ROOT / "upstream/example/example_finetune.py")
    path, sys.argv = list(sys.path), [script, *map(str, arguments)]
    try:
        with pytest.raises(SystemExit) as end:
            runpy.run_path(script, run_name="__main__")
    finally:
        sys.path[:] = path
    return end.value.code


def test_the_script_of_ones_own_learns_and_what_it_saves_gives_the_same(workdir, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", sys.argv)
    torch.manual_seed(0)
    assert example() == 0
    lines = capsys.readouterr().out.splitlines()
    first, last = (float(line.split()[-1]) for line in (lines[0], lines[-2]))
    assert last < first / 2
    assert lines[-1].endswith("gives the same scores: low, low, low, low, high, high, high, high")


def test_the_script_takes_recordings_and_a_checkpoint(workdir, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", sys.argv)
    for name in ("cats/1", "cats/2", "dogs/1"):
        path = Path(name).with_suffix(".wav")
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, torch.randn(4000).numpy() * 0.1, 8000)
    torch.manual_seed(0)
    assert example(*TERA, "--steps", 2, "--output", "mine.ckpt", *Path().glob("*/*.wav")) == 0
    assert "mine.ckpt gives the same scores" in capsys.readouterr().out
    saved = torch.load("mine.ckpt", weights_only=True)
    assert saved["names"] == ["cats", "dogs"]
    before, after = pretrained(), saved["Classifier"]
    name = next(name for name in before if name.endswith("query.weight"))
    assert not torch.equal(after[f"upstream.model.{name}"], before[name])
    assert example("cats/1.wav", "cats/2.wav") == 2
    assert "Give recordings of two folders" in capsys.readouterr().err
