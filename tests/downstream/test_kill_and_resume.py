"""A speech recogniser killed with SIGKILL again and again ends like one that never was."""

import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from conftest import ROOT, command, metrics, same
from tones import make_corpus

from s3prl.training import checkpoint as checkpoints

OVERRIDES = {
    "config.runner.total_steps": 120, "config.runner.save_step": 4, "config.runner.eval_step": 15,
    "config.runner.log_step": 7, "config.runner.max_keep": 2,
    "config.downstream_expert.datarc.libri_root": "corpus",
    "config.downstream_expert.datarc.bucket_file": "corpus/len_for_bucket",
    "config.downstream_expert.datarc.train_batch_size": 4,
    "config.downstream_expert.modelrc.project_dim": 16,
    "config.downstream_expert.modelrc.RNNs.dim": [16, 16],
    "config.downstream_expert.modelrc.RNNs.total_rate": 160,  # a tone lasts 480: longer frames are too few
    "config.downstream_expert.modelrc.RNNs.dropout": [0.1, 0.1],  # so that random states matter
}  # fmt: skip
SPECAUG = "+config.specaug.apply_time_warp=True,,+config.specaug.time_warp_window=2"


def train(name):
    override = ",,".join([*(f"{field}={value!r}" for field, value in OVERRIDES.items()), SPECAUG])
    return command(
        "-a",
        "-m",
        "train",
        "-u",
        "example",
        "-d",
        "asr",
        "-c",
        "downstream/asr/mini.yaml",
        "-n",
        name,
        "-o",
        override,
    )


def test_a_run_killed_again_and_again_ends_like_one_that_never_was(workdir):
    make_corpus(workdir / "corpus", {"train-clean-100": 30, "dev-clean": 6})
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(train("whole"), check=True, **quiet)

    rng, expdir = random.Random(0), Path("result/downstream/killed")
    kills = 0
    for _ in range(4):
        start = time.time()
        run = subprocess.Popen(train("killed"), start_new_session=True, **quiet)
        while run.poll() is None and not any(p.stat().st_mtime > start for p in expdir.glob("states-*.ckpt")):
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.2))
        with suppress(ProcessLookupError):  # it was quicker
            os.killpg(run.pid, signal.SIGKILL)
        kills += run.wait() == -signal.SIGKILL
    assert kills >= 2, "the run ended before it could be killed"
    subprocess.run([ROOT / "run_while.sh", *train("killed")], check=True, **quiet)

    folders = [Path("result/downstream") / name for name in ("whole", "killed")]
    for name in ("states-120.ckpt", "dev-best.ckpt", "dev-clean-best.ckpt"):
        whole, killed = (checkpoints.load(folder / name) for folder in folders)
        for key in ("Step", "Downstream", "Featurizer", "Optimizer", "Scheduler", "Random", "Records"):
            assert same(whole[key], killed[key]), (name, key)
    assert metrics(folders[0]) == metrics(folders[1])
    assert all(line["loss"] > 0 for line in metrics(folders[0]))
    assert (folders[0] / "dev-clean-noLM-hyp.ark").read_text() == (
        folders[1] / "dev-clean-noLM-hyp.ark"
    ).read_text()
