"""The example task: the template that new tasks are copied from."""

from collections import defaultdict
from pathlib import Path

import pytest
import torch

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
    assert len(wavs) == 2 and all(1600 <= len(wav) <= 4800 for wav in wavs)
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


def test_the_same_random_state_gives_the_same_data(config):
    def draw():
        torch.manual_seed(3)
        return build(config).get_dataloader("dev").dataset[2]

    (first, label), (second, again) = draw(), draw()
    assert torch.equal(first, second) and label == again


def test_the_shipped_config_can_be_copied_as_it_is():
    config = load_yaml(ROOT / "downstream/example/config.yaml")
    expert = build(config)
    for split in ("train", *config["runner"]["eval_dataloaders"]):
        assert len(expert.get_dataloader(split)) > 0
    assert not Path("unused").exists()
