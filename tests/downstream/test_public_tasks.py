"""Tasks written for the public S3PRL, which sub-class nothing of ours, run unmodified."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import public_corpora
import pytest
import torch
import yaml
from conftest import ROOT, metrics, same
from public_package import public_package_or_skip

OWN_TASK = """
import os
import random

import numpy as np
import torch
import torch.nn as nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

from ..model import *


class Tones(Dataset):
    def __init__(self, count, crop=None):
        self.count, self.crop = count, crop

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        label = index % 3
        samples = 4000 + 300 * index
        wav = np.sin(2 * np.pi * 400 * (1 + label) * np.arange(samples) / 16000)
        wav = (wav + 0.01 * np.random.randn(samples)).astype(np.float32)
        if self.crop is not None:
            start = random.randint(0, samples - self.crop)
            wav = wav[start : start + self.crop]
        return wav, label, f"tone-{index}"

    def collate_fn(self, samples):
        return zip(*samples)


class DownstreamExpert(nn.Module):
    def __init__(self, upstream_dim, downstream_expert, expdir, **kwargs):
        super(DownstreamExpert, self).__init__()
        self.expdir = expdir
        self.datarc = downstream_expert["datarc"]
        modelrc = downstream_expert["modelrc"]
        self.datasets = {
            "train": Tones(self.datarc["train"], crop=3000), "dev": Tones(6), "test": Tones(9),
        }
        self.projector = nn.Linear(upstream_dim, modelrc["projector_dim"])
        self.model = eval(modelrc["select"])(
            modelrc["projector_dim"], 3, **modelrc.get(modelrc["select"], {})
        )
        self.dropout = nn.Dropout(0.2)
        self.objective = nn.CrossEntropyLoss()
        self.register_buffer("best_score", torch.zeros(1))

    def get_dataloader(self, split, epoch=0):
        from s3prl.utility.data import get_ddp_sampler

        dataset = self.datasets[split]
        training = split == "train"
        sampler = get_ddp_sampler(dataset, epoch) if training else None
        return DataLoader(
            dataset, batch_size=self.datarc["batch_size"], shuffle=training and sampler is None,
            sampler=sampler, num_workers=self.datarc["num_workers"], collate_fn=dataset.collate_fn,
        )

    def forward(self, split, features, labels, filenames, records, **kwargs):
        lengths = torch.IntTensor([len(feature) for feature in features]).to(features[0].device)
        features = self.dropout(self.projector(pad_sequence(features, batch_first=True)))
        predicted, _ = self.model(features, lengths)
        labels = torch.LongTensor(labels).to(predicted.device)
        loss = self.objective(predicted, labels)
        records["loss"].append(loss.item())
        records["acc"] += (predicted.argmax(dim=-1) == labels).view(-1).cpu().float().tolist()
        records["filename"] += filenames
        return loss

    def log_records(self, split, records, logger, global_step, **kwargs):
        save_names = []
        for key in ["acc", "loss"]:
            average = torch.FloatTensor(records[key]).mean().item()
            logger.add_scalar(f"tones/{split}-{key}", average, global_step=global_step)
            if split == "dev" and key == "acc" and average > self.best_score:
                self.best_score = torch.ones(1) * average
                save_names.append(f"{split}-best.ckpt")
        with open(os.path.join(self.expdir, f"{split}_files.txt"), "w") as file:
            file.writelines(f"{name}\\n" for name in records["filename"])
        return save_names
"""

PUBLIC_TASKS = {  # the packages a task needs, the corpus it reads, the figure it is judged by
    "emotion": ((), public_corpora.iemocap, "acc"),
    "fluent_commands": (("pandas",), public_corpora.fluent_speech_commands, "acc"),
    "voxceleb1": (("librosa",), public_corpora.voxceleb1, "acc"),
    "phone_linear": (("pandas",), public_corpora.librispeech_phones, "acc"),
    "diarization": (("h5py", "pandas"), public_corpora.libri2mix, "der"),
    "mosei": (("pandas",), public_corpora.cmu_mosei, "acc"),
    "asr": (("pandas",), public_corpora.librispeech_words, "wer"),
}

# What the public tasks use of torchaudio, for places where the real one cannot read a file.
STAND_IN = {
    "__init__.py": """
import soundfile
import torch

from . import transforms


def load(path):
    waves, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return torch.from_numpy(waves.T.copy()), rate
""",
    "transforms.py": """
import soxr
import torch


class Resample(torch.nn.Module):
    def __init__(self, orig_freq=16000, new_freq=16000):
        super().__init__()
        self.rates = orig_freq, new_freq

    def forward(self, waveform):
        return torch.from_numpy(soxr.resample(waveform.numpy().T, *self.rates).T.copy())
""",
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of the project to drop folders into."""
    ignored = shutil.ignore_patterns(".*", "data", "result", "tests", "__pycache__", "benchmarks")
    return shutil.copytree(ROOT, tmp_path_factory.mktemp("public") / "clone", ignore=ignored)


@pytest.fixture(scope="module")
def audio_path(tmp_path_factory):
    """What to put before PYTHONPATH so that `torchaudio.load` works; empty where it does anyway."""
    folder = tmp_path_factory.mktemp("torchaudio")
    public_corpora.tone(folder / "tone.wav", 0.1, 0)
    code = f"import torchaudio; torchaudio.load({str(folder / 'tone.wav')!r})"
    if subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0:
        return ""
    (folder / "torchaudio").mkdir()
    for name, content in STAND_IN.items():
        (folder / "torchaudio" / name).write_text(content)
    return str(folder)


class Task:
    """A task in a clone, and runs of it by the command line in processes of their own."""

    def __init__(self, clone: Path, name: str, folder: Path, expert: dict, path: str = "") -> None:
        self.clone, self.name, self.folder = clone, name, folder
        paths = filter(None, [path, os.environ.get("PYTHONPATH")])
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        self.config = folder / "config.yaml"
        self.config.write_text(yaml.safe_dump({
            "runner": {
                "total_steps": 4, "gradient_clipping": 1, "gradient_accumulate_steps": 2, "log_step": 2,
                "eval_step": 3, "save_step": 100, "max_keep": 1, "eval_dataloaders": ["dev"],
            },
            "optimizer": {"name": "TorchOptim", "torch_optim_name": "Adam", "lr": 1.0e-2},
            "downstream_expert": expert,
        }))  # fmt: skip

    def run(self, *arguments) -> None:
        command = [sys.executable, self.clone / "run_downstream.py", *arguments, "--device", "cpu"]
        log = self.folder / "log.txt"  # a pipe would stay open until PyTorch's own helper processes end
        with log.open("w") as file:
            result = subprocess.run(
                [*map(str, command)],
                cwd=self.folder, env=self.environment, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip
        assert result.returncode == 0, log.read_text()

    def train(self, expdir: str, steps: int) -> None:
        """Train to this step, from where the folder's last checkpoint stopped if there is one."""
        self.run(
            "-m", "train", "-u", "fbank_no_cmvn", "-d", self.name, "-c", self.config, "-p", expdir, "-a",
            "-o", f"config.runner.total_steps={steps}",
        )  # fmt: skip

    def check_that_a_resumed_run_equals_a_whole_one(self, stop: int, steps: int) -> None:
        """Weights and optimizer to the bit, and the figures of the last evaluation."""
        self.train("whole", steps)
        self.train("resumed", stop)
        self.train("resumed", steps)
        whole, resumed = (
            torch.load(self.folder / expdir / f"states-{steps}.ckpt", weights_only=True)
            for expdir in ("whole", "resumed")
        )
        assert whole["Step"] == resumed["Step"] == steps
        for key in ("Downstream", "Featurizer", "Optimizer"):
            assert same(whole[key], resumed[key]), key
        assert metrics(self.folder / "whole")[-1] == metrics(self.folder / "resumed")[-1]

    def evaluate(self, split: str, checkpoint: str) -> dict:
        """What `result.json` says."""
        path = self.folder / checkpoint
        self.run("-m", "evaluate", "-t", split, "-e", path)
        return json.loads((path.parent / "result.json").read_text())


def test_a_task_that_subclasses_nothing_trains_resumes_and_evaluates(clone, tmp_path):
    folder = clone / "downstream" / "tones_of_others"
    folder.mkdir()
    (folder / "expert.py").write_text(OWN_TASK)
    datarc = {"train": 14, "batch_size": 2, "num_workers": 1}  # four updates per epoch, the last one short
    expert = {"datarc": datarc, "modelrc": public_corpora.utterance_classifier()}
    task = Task(clone, "tones_of_others", tmp_path, expert)
    task.check_that_a_resumed_run_equals_a_whole_one(stop=6, steps=10)
    result = task.evaluate("test", "resumed/dev-best.ckpt")
    assert result["metrics"]["acc"] == 1
    # all was right at step 6; step 10 is no better than the best score, which outlived the stop
    assert result["step"] == 6
    assert (tmp_path / "resumed" / "test_files.txt").read_text().split() == [f"tone-{i}" for i in range(9)]


@pytest.mark.parametrize("name", PUBLIC_TASKS)
def test_a_task_of_the_public_package_runs_under_another_name(clone, tmp_path, audio_path, name):
    public = public_package_or_skip()
    packages, corpus, metric = PUBLIC_TASKS[name]
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        pytest.skip(f"the public task {name} needs {', '.join(missing)}")
    shutil.copytree(public / "downstream" / name, clone / "downstream" / f"public_{name}")
    task = Task(clone, f"public_{name}", tmp_path, corpus(tmp_path / "corpus"), audio_path)
    task.check_that_a_resumed_run_equals_a_whole_one(stop=3, steps=5)
    result = task.evaluate("test", "resumed/states-5.ckpt")
    assert (result["split"], result["step"]) == ("test", 5)
    assert 0 <= result["metrics"][metric] <= 100
