"""The example task: the template that new tasks are copied from."""

from collections import defaultdict
from pathlib import Path

import pytest
import torch
from conftest import metrics, tiny

from s3prl.downstream.example.expert import DownstreamExpert
from s3prl.utility.config import load_yaml
from s3prl.utility.paths import ROOT

DIM = 8


class Scalars(dict):
    def add_scalar(self, name, value, global_step):
        self[name] = value


@pytest.fixture
def config():
    config = load_yaml(ROOT / "downstream/example/config.yaml")
    datarc = config["downstream_expert"]["datarc"]
    datarc.update(seconds=[0.1, 0.3], num_workers=0, utterances={"train": 8, "dev": 5, "test": 3})
    return config


def build(config):
    torch.manual_seed(0)
    return DownstreamExpert(
        upstream_dim=DIM, upstream_rate=160, expdir="unused", **config, seed=1, device="cpu"
    )


def features_of(wavs):
    return [wav[: len(wav) // DIM * DIM].reshape(-1, DIM) for wav in wavs]


def evaluate(expert, split, step=1):
    records, scalars = defaultdict(list), Scalars()
    with torch.no_grad():
        for wavs, *others in expert.get_dataloader(split):
            expert(split, features_of(wavs), *others, records=records, batch_id=0)
    names = expert.log_records(
        split, records=records, logger=scalars, global_step=step, batch_ids=[0], total_batch_num=1
    )
    return names, scalars


def test_a_training_step_changes_the_model(config):
    expert = build(config)
    optimizer = torch.optim.SGD(expert.parameters(), lr=0.1)
    wavs, *others = next(iter(expert.get_dataloader("train")))
    assert len(wavs) == 8 and all(1600 <= len(wav) <= 4800 for wav in wavs)
    losses = []
    for _ in range(5):
        loss = expert("train", features_of(wavs), *others, records=defaultdict(list))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_only_a_better_dev_accuracy_asks_for_a_checkpoint(config):
    config["downstream_expert"]["datarc"]["classes"] = 1  # every answer is right
    expert = build(config)
    assert evaluate(expert, "test")[0] == []
    names, scalars = evaluate(expert, "dev")
    assert names == ["dev-best.ckpt"]
    assert scalars["example/dev-acc"] == 1.0 and "example/dev-loss" in scalars
    resumed = build(config)
    resumed.load_state_dict(expert.state_dict())
    assert evaluate(resumed, "dev")[0] == []


def test_data_is_the_same_at_every_visit_and_no_split_has_the_data_of_another(config):
    train, again, dev = (
        build(config).get_dataloader(split).dataset[2] for split in ("train", "train", "dev")
    )
    assert torch.equal(train[0], again[0]) and train[1] == again[1]
    samples = min(len(train[0]), len(dev[0]))
    assert not torch.equal(train[0][:samples], dev[0][:samples])


def test_the_shipped_config_can_be_copied_as_it_is():
    config = load_yaml(ROOT / "downstream/example/config.yaml")
    expert = build(config)
    for split in ("train", *config["runner"]["eval_dataloaders"]):
        assert len(expert.get_dataloader(split)) > 0
    assert not Path("unused").exists()


def test_the_example_learns_what_is_audible_in_mean_normalised_features(downstream):
    short = "config.runner.total_steps=60,,config.runner.eval_step=60,,config.runner.save_step=60"
    data = "config.downstream_expert.datarc.num_workers=0,,config.downstream_expert.datarc.classes=4"
    options = f"{short},,{data},,config.optimizer.lr=3e-3"
    assert downstream("-m", "train", "-u", "fbank", "-d", "example", "-n", "hello", "-o", options) == 0
    last = {line["split"]: line["acc"] for line in metrics(Path("result/downstream/hello"))}
    assert last["dev"] > 0.9 and last["test"] > 0.9  # chance: 0.25


def test_an_unknown_split_is_named_with_the_nearest_one(downstream, capsys):
    assert downstream("-m", "train", "-u", "example", "-d", "example", "-p", "run", "-o", tiny()) == 0
    assert downstream("-m", "evaluate", "-t", "tset", "-e", "run") == 2
    error = capsys.readouterr().err
    assert "no split 'tset'" in error and "Did you mean 'test'? It has: train, dev, test." in error


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "datarc.utterances",
            "{'train': 'many', 'dev': 4}",
            "utterances.train must be a whole number, not 'many'",
        ),
        ("datarc.utterances", "12", "utterances must be a section with fields"),
        ("datarc.seconds", "5", "seconds must be a list, not 5"),
        ("datarc.seconds", "[0, 1]", "seconds[0] must be above 0, not 0"),
        ("datarc.classes", "ten", "classes must be a whole number, not 'ten'"),
        ("datarc.train_batch_size", "0", "train_batch_size must be at least 1, not 0"),
        ("datarc", "3", "datarc must be a section with fields"),
        ("modelrc.project_dim", "wide", "project_dim must be a whole number, not 'wide'"),
    ],
)
def test_a_field_of_a_wrong_type_is_one_message(downstream, capsys, field, value, message):
    options = f"config.downstream_expert.{field}={value}"
    assert downstream("-m", "train", "-u", "example", "-d", "example", "-p", "run", "-o", options) == 2
    assert f"Error: downstream_expert.{field.split('.')[0]}" in (error := capsys.readouterr().err)
    assert message in error
