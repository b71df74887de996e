"""Pre-training by two processes (gloo on the CPU) that hear utterances of different lengths."""

import os
import subprocess
import sys

import yaml
from conftest import ROOT
from pretraining import config, losses, recordings, states
from test_masked import tiny


def test_two_processes_pre_train_one_transformer(tmp_path):
    """Each has a table of positions as long as its longest utterance; the tables stay apart."""
    root = recordings(tmp_path / "audio", count=8, seconds=(0.5, 1.0))
    (root / "train" / "0.wav").write_bytes(b"RIFF")  # named once
    whole = config(root, tiny("tera"), data={"train_batch_size": 2, "sets": []}, total_steps=4)
    model = whole.pop("upstream_config")
    for name, content in (("runner", whole), ("model", model)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    port = 20000 + os.getpid() % 20000
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(port),
        str(ROOT / "run_pretrain.py"), "-u", "tera", "-p", str(tmp_path / "run"), "--device", "cpu",
        "-c", str(tmp_path / "runner.yaml"), "-g", str(tmp_path / "model.yaml"),
    ]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("1 unreadable recordings are left out") == 1
    assert states(tmp_path / "run", 4)["WorldSize"] == 2
    assert len(losses(tmp_path / "run")) == 2
