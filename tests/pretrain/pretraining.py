"""Pre-training in tests: a folder of short recordings, runs of the runner, and how they are compared."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import soundfile
import torch
from conftest import metrics, same

from s3prl.pretrain.past_run import PretrainRuns
from s3prl.pretrain.runner import Runner
from s3prl.training import checkpoint as checkpoints
from s3prl.training.randomness import seed_generators

RUNNER = {"total_steps": 6, "log_step": 2, "save_step": 2, "max_keep": 9, "draw_curves": False}
ADAM = {"name": "Adam", "lr": 1e-3}
VOICED = 0.3  # seconds of a tone


def recordings(
    folder: Path, count: int = 10, seconds: tuple[float, float] = (0.7, 1.3), seed: int = 0
) -> Path:
    """Write `count` recordings of tones that follow one another, as folder/train/<n>.wav; returns folder."""
    generator = np.random.default_rng(seed)
    (folder / "train").mkdir(parents=True, exist_ok=True)
    for number in range(count):
        samples = int(16000 * generator.uniform(*seconds))
        tones = generator.uniform(200, 3000, 1 + int(samples / 16000 / VOICED))
        pitch = np.repeat(tones, int(16000 * VOICED))[:samples]
        wave = 0.3 * np.sin(2 * np.pi * np.cumsum(pitch) / 16000) + generator.normal(0, 0.01, len(pitch))
        soundfile.write(folder / "train" / f"{number}.wav", wave.astype(np.float32), 16000)
    return folder


def datarc(root: Path, **fields) -> dict:
    """`pretrain_expert.datarc` for the recordings of a folder."""
    given = {"libri_root": str(root), "file_path": str(root / "lengths"), "sets": ["train"]}
    return {**given, "num_workers": 0, "train_batch_size": 4, **fields}


def config(
    root: Path, upstream_config: dict, optimizer: dict = ADAM, data: dict | None = None, **runner
) -> dict:
    """A whole config of a short run; keywords are fields of `runner`."""
    return {
        "runner": {**RUNNER, **runner},
        "optimizer": optimizer,
        "pretrain_expert": {"datarc": datarc(root, **(data or {}))},
        "upstream_config": upstream_config,
    }


def arguments(upstream: str, expdir: Path, **fields) -> Namespace:
    """The arguments that the runner reads."""
    given = {
        "upstream": upstream, "expdir": str(expdir), "seed": 7, "device": "cpu", "verbose": False,
        "bad_audio": "error", "init_ckpt": None,
    }  # fmt: skip
    expdir.mkdir(parents=True, exist_ok=True)
    return Namespace(**{**given, **fields})


def train(upstream: str, expdir: Path, whole: dict, **fields) -> Runner:
    """Pre-train from the start."""
    seed_generators(7)
    runner = Runner(arguments(upstream, expdir, **fields), whole)
    runner.train()
    return runner


def resume(upstream: str, expdir: Path, state: Path, **runner) -> Runner:
    """Go on in another folder from a checkpoint; keywords change fields of `runner`."""
    loaded = checkpoints.load(state)
    whole = PretrainRuns().config_of(loaded)
    whole["runner"] |= runner
    seed_generators(99)  # whatever the state of the process is, the checkpoint has its own
    continued = Runner(arguments(upstream, expdir, init_ckpt=str(state)), whole, loaded, resume=True)
    continued.train()
    return continued


def states(expdir: Path, step: int) -> dict:
    """The content of a checkpoint."""
    return checkpoints.load(expdir / f"states-{step}.ckpt")


def losses(expdir: Path) -> list[float]:
    """The training losses of metrics.jsonl."""
    return [line["loss"] for line in metrics(expdir) if line["split"] == "train"]


def assert_resume_is_exact(upstream: str, folder: Path, whole: dict, parts: tuple[str, ...]) -> None:
    """A run that goes on from the middle ends with the weights of one that was never interrupted."""
    train(upstream, folder / "whole", whole)
    resume(upstream, folder / "resumed", folder / "whole" / "states-2.ckpt")
    one, other = states(folder / "whole", 6), states(folder / "resumed", 6)
    for name in (*parts, "Optimizer", "Random"):
        assert same(one[name], other[name]), name


def tones(lengths: tuple[int, ...] = (16000, 9000)) -> list[torch.Tensor]:
    """Waves to compare hidden states with."""
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(length, generator=generator) * 0.1 for length in lengths]
