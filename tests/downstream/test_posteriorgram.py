"""A trained phone probe as an upstream: its posteriors are what the probe predicts."""

import copy
import pickle
from pathlib import Path

import numpy as np
import phones
import pytest
import soundfile
import torch
import yaml
from conftest import ROOT, tiny

from s3prl import hub
from s3prl.upstream.build import build_upstream
from s3prl.utility.config import load_yaml
from s3prl.utility.errors import UserError

NAME = "libri_phone_posteriorgram"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return phones.make_phone_corpus(tmp_path_factory.mktemp("phones"))


@pytest.fixture
def train(root, downstream):
    """Train a probe for a moment and evaluate it on the test set; returns its checkpoint."""

    def run(upstream, task):
        block = load_yaml(ROOT / f"downstream/{task}/config.yaml")["downstream_expert"]
        block["datarc"].update(libri_root=f"{root}/LibriSpeech", bucket_file=None, num_workers=0)
        block["datarc"].update(phone_path=f"{root}/labels", split_path=f"{root}/labels", train_batch_size=4)
        runner = {"total_steps": 12, "log_step": 12, "eval_step": 12, "eval_dataloaders": ["test"]}
        config = {"runner": runner, "optimizer": {"name": "AdamW", "lr": 2e-2}, "downstream_expert": block}
        Path("phone.yaml").write_text(yaml.safe_dump(config))
        assert downstream("-u", upstream, "-d", task, "-c", "phone.yaml", "-p", "probe") == 0
        assert downstream("-m", "evaluate", "-t", "test", "-e", "probe/states-12.ckpt") == 0
        return "probe/states-12.ckpt"

    return run


@pytest.mark.parametrize(("upstream", "task"), [("log_stft", "libri_phone"), ("fbank", "phone_linear")])
def test_posteriors_are_those_of_the_probe_at_the_rate_of_its_labels(root, train, upstream, task):
    model = hub.get(NAME)(train(upstream, task))
    rows = dict(line.split(" ", 1) for line in Path("probe/test_predict.txt").read_text().splitlines())
    names = sorted(rows)
    paths = [next((root / "LibriSpeech").rglob(f"{name}.flac")) for name in names]
    wavs = [torch.from_numpy(soundfile.read(path, dtype="float32")[0]) for path in paths]
    with torch.no_grad():
        (posteriors,) = model(wavs)["hidden_states"]
    assert posteriors.shape[::2] == (len(wavs), 41) and model.get_downsample_rates("hidden_states") == 160
    for row, name, wav in zip(posteriors, names, wavs, strict=True):
        frames = model.num_frames(len(wav))
        torch.testing.assert_close(row.sum(-1), (torch.arange(len(row)) < frames).float())
        predicted = [phones.CLASSES[index] for index in row[:frames].argmax(-1)]
        shared = min(frames, len(rows[name].split())) - 3  # at the end a probe repeats or cuts some frames
        assert predicted[:shared] == rows[name].split()[:shared] and shared > 0.8 * frames
    again = pickle.loads(pickle.dumps(copy.deepcopy(model)))
    with torch.no_grad():
        assert torch.equal(again(wavs)["last_hidden_state"], posteriors)


def test_a_task_is_trained_on_posteriors_like_on_any_upstream(train, downstream):
    checkpoint = train("fbank", "libri_phone")
    options = ("-d", "example", "-p", "run", "-o", tiny(total_steps=2))
    assert downstream("-m", "train", "-u", NAME, "-k", checkpoint, *options) == 0
    assert downstream("-m", "evaluate", "-t", "dev", "-e", "run") == 0


def test_the_name_is_listed_among_those_that_need_a_checkpoint():
    assert NAME in hub.options() and NAME not in hub.options(only_registered_ckpt=True)
    with pytest.raises(UserError, match=r"needs the checkpoint of a phone probe: -k result/downstream/NAME"):
        build_upstream(NAME)


def test_what_is_no_checkpoint_of_a_phone_probe_is_refused(tmp_path, downstream, train):
    with pytest.raises(UserError, match=r"There is no checkpoint .*nothing\.ckpt"):
        build_upstream(NAME, str(tmp_path / "nothing.ckpt"))
    assert downstream("-u", "example", "-d", "example", "-p", "other", "-o", tiny(total_steps=2)) == 0
    with pytest.raises(
        UserError, match=r"states-2\.ckpt is a checkpoint of the task 'example', not of a phone"
    ):
        build_upstream(NAME, "other/states-2.ckpt")


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    torch.save({"Args": {}, "Featurizer": np.random.default_rng}, tmp_path / "evil.ckpt")
    with pytest.raises(UserError, match="only full unpickling can read"):
        build_upstream(NAME, str(tmp_path / "evil.ckpt"))
