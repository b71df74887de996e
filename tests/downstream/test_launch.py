"""Several runs in one process, one after the other, and runs started from other folders."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT, metrics, same, tiny
from test_bad_audio import OPTIONS, override
from tones import make_corpus

from s3prl.training import checkpoint as checkpoints
from s3prl.utility.files import STATES

TRAIN = ["-m", "train", "-u", "example", "-d", "example"]


def process_state():
    return {
        "handlers": [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)],
        "cudnn": (torch.backends.cudnn.enabled, torch.backends.cudnn.deterministic),
        "sharing": torch.multiprocessing.get_sharing_strategy(),
        "hub": torch.hub.get_dir(),
        "path": list(sys.path),
        "folder": Path.cwd(),
    }


def test_a_run_leaves_the_process_as_it_found_it(downstream, workdir):
    before = process_state()
    assert downstream(*TRAIN, "-p", "good", "--cache_dir", workdir / "cache", "-o", tiny(total_steps=2)) == 0
    assert downstream(*TRAIN, "-p", "bad", "--disable_cudnn", "-o", "config.runner.total_steps='many'") == 2
    assert process_state() == before


def test_the_folder_of_a_failed_run_can_be_used_again_in_the_same_process(downstream, monkeypatch):
    from s3prl.downstream.example.expert import DownstreamExpert

    with monkeypatch.context() as broken:
        broken.setattr(DownstreamExpert, "forward", None)
        with pytest.raises(TypeError):
            downstream(*TRAIN, "-p", "run", "-o", tiny(total_steps=2))
    assert downstream(*TRAIN, "-p", "run", "-o", tiny(total_steps=2)) == 0


def test_runs_in_one_process_do_not_see_each_other(downstream):
    options = tiny(total_steps=4)
    assert downstream(*TRAIN, "-p", "first", "-o", options) == 0
    assert downstream(*TRAIN, "-p", "other", "--seed", 5, "-o", options) == 0
    assert downstream(*TRAIN, "-p", "again", "-o", options) == 0
    first, other, again = (checkpoints.load(f"{name}/states-4.ckpt") for name in ("first", "other", "again"))
    assert same(first["Downstream"], again["Downstream"])
    assert not same(first["Downstream"], other["Downstream"])


def test_relative_paths_of_a_run_are_found_again_from_another_folder(downstream, workdir, monkeypatch):
    start, elsewhere = workdir / "start", workdir / "elsewhere"
    start.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(start)
    make_corpus(start / "corpus", {"train-clean-100": 6, "dev-clean": 4})
    Path("my.yaml").write_text((ROOT / "upstream/baseline/mfcc.yaml").read_text())
    options = [*OPTIONS, "-u", "baseline_local", "-g", "my.yaml", "-p", "run"]
    assert downstream(*options, "-o", override(total_steps=2, eval_step=2)) == 0
    monkeypatch.chdir(elsewhere)
    assert downstream("-m", "evaluate", "-t", "dev-clean", "-e", start / "run" / "dev-best.ckpt") == 0
    result = json.loads((start / "run" / "result.json").read_text())
    at_training = metrics(start / "run")[-1]
    assert result["metrics"] == {name: at_training[name] for name in ("loss", "wer", "cer", "uer")}
    assert not list(elsewhere.iterdir())


def test_two_processes_evaluate_a_recogniser_like_one_to_the_byte(workdir, downstream):
    make_corpus(workdir / "corpus", {"train-clean-100": 8, "dev-clean": 13})
    options = [*OPTIONS, "-p", "run", "-o", override(total_steps=4, eval_step=4)]
    assert downstream(*options, "-f") == 0  # an upstream with batch-sensitive training mode too
    evaluation = ["-m", "evaluate", "-t", "dev-clean", "-e", "run/dev-best.ckpt"]
    evaluation += ["-o", "config.downstream_expert.datarc.eval_batch_size=2"]
    files = ["result.json", "dev-clean-noLM-hyp.ark", "dev-clean-noLM-ref.ark"]
    assert downstream(*evaluation) == 0
    one = [Path("run", name).read_bytes() for name in files]
    for name in files:
        Path("run", name).unlink()
    port = 20000 + os.getpid() % 20000
    launch = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(port)]
    script = [str(ROOT / "run_downstream.py"), *map(str, evaluation), "--device", "cpu"]
    subprocess.run([sys.executable, *launch, *script], check=True, stdout=subprocess.DEVNULL)
    assert [Path("run", name).read_bytes() for name in files] == one


def test_a_run_from_before_the_choice_keeps_the_values_of_its_batches(workdir, downstream):
    make_corpus(workdir / "corpus", {"train-clean-100": 8, "dev-clean": 4})
    options = [*OPTIONS, "-u", "mel", "-o", override(total_steps=6, save_step=3, eval_step=6, max_keep=3)]
    assert downstream(*options, "-p", "whole", "--upstream_public_batch") == 0
    assert downstream(*options, "-p", "alone") == 0
    older = checkpoints.load("whole/states-3.ckpt")
    del older["Args"]["upstream_public_batch"]
    checkpoints.save(older, workdir / "whole", ["states-3.ckpt"])
    expected, other = (checkpoints.load(f"{name}/states-6.ckpt") for name in ("whole", "alone"))
    Path("whole/states-6.ckpt").unlink()
    assert downstream("-m", "train", "-e", "whole") == 0
    assert same(checkpoints.load("whole/states-6.ckpt")["Downstream"], expected["Downstream"])
    assert not same(other["Downstream"], expected["Downstream"])


OLD = ROOT / "tests" / "data" / "asr_before_the_engine"


def test_a_checkpoint_from_before_the_engine_resumes_and_ends_as_it_would_have(workdir, downstream):
    make_corpus(workdir / "corpus", {"train-clean-100": 12, "dev-clean": 4})
    Path("old").mkdir()
    for path in OLD.iterdir():
        if not STATES.match(path.name) or path.name == "states-8.ckpt":
            Path("old", path.name).write_bytes(path.read_bytes())
    assert downstream("-m", "train", "-e", "old") == 0
    expected, ended = (checkpoints.load(folder / "states-14.ckpt") for folder in (OLD, Path("old")))
    for name in ("Downstream", "Featurizer"):
        for key, value in expected[name].items():
            torch.testing.assert_close(ended[name][key], value, rtol=1e-5, atol=1e-6)
    assert ended["Step"] == 14 and same(ended["Random"], expected["Random"])
    old, new = (
        [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (OLD, Path("old"))
    )
    assert [(line["step"], line["split"]) for line in old] == [(line["step"], line["split"]) for line in new]
    assert [line["loss"] for line in new] == pytest.approx([line["loss"] for line in old], rel=1e-4)
