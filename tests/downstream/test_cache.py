"""Runs with a feature cache: what they train on is what they would have computed, and it is computed once."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from conftest import ROOT, command, files_of_at_most, metrics, same
from keywords import make_keywords
from tones import make_corpus

from s3prl.training import checkpoint as checkpoints
from s3prl.utility.files import states_in

STEPS = {"total_steps": 12, "log_step": 1, "eval_step": 6, "save_step": 6, "max_keep": 3}
LONGER = {**STEPS, "total_steps": 60, "eval_step": 20}
HYPOTHESES = "dev-clean-noLM-hyp.ark"


def override(fields):
    return ["-o", ",,".join(f"config.{name}={value!r}" for name, value in fields.items())]


def asr(root, **runner):
    """Arguments of a run of speech recognition; several layers, and frames that the loss needs."""
    data, model = "downstream_expert.datarc", "downstream_expert.modelrc"
    fields = {
        **{f"runner.{name}": value for name, value in {**STEPS, **runner}.items()},
        f"{data}.libri_root": f"{root}/speech", f"{data}.bucket_file": f"{root}/tables",
        f"{data}.train_batch_size": 4, f"{data}.num_workers": 1,
        f"{model}.project_dim": 16, f"{model}.RNNs.dim": [16, 16], f"{model}.RNNs.total_rate": 160,
        f"{model}.RNNs.dropout": [0.1, 0.1],
    }  # fmt: skip
    config = ["-c", "downstream/asr/mini.yaml", *override(fields)]
    return ["-m", "train", "-u", "example", "-d", "asr", *config]


def ks(root, **runner):
    """Arguments of a run of keyword spotting, which reads means over time."""
    data = "downstream_expert.datarc"
    fields = {
        **{f"runner.{name}": value for name, value in {**LONGER, **runner}.items()},
        f"{data}.speech_commands_root": f"{root}/corpus",
        f"{data}.speech_commands_test_root": f"{root}/test_set",
        f"{data}.batch_size": 8, f"{data}.num_workers": 1, f"{data}.silence_crops": 4,
        "optimizer.lr": 3e-2,
    }  # fmt: skip
    config = ["-c", "downstream/speech_commands/mini.yaml", *override(fields)]
    return ["-m", "train", "-u", "example", "-d", "speech_commands", *config]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpora")
    make_corpus(root / "speech", {"train-clean-100": 22, "dev-clean": 6, "test-clean": 4})
    make_keywords(root)
    return root


def losses(folder):
    return [line["loss"] for line in metrics(Path(folder)) if line["split"] == "train"]


def equal_runs(one, other, names=("Downstream", "Featurizer", "Optimizer", "Random", "Records")):
    states = [checkpoints.load(states_in(Path(folder))[0]) for folder in (one, other)]
    for name in names:
        assert same(states[0][name], states[1][name]), name
    assert metrics(Path(one)) == metrics(Path(other))


def test_frames_in_float32_give_the_losses_and_texts_of_a_run_without_cache(downstream, corpora):
    assert downstream(*asr(corpora), "-p", "plain") == 0
    assert downstream(*asr(corpora), "-p", "cached", "--cache", "cache", "--cache_dtype", "float32") == 0
    assert losses("cached") == pytest.approx(losses("plain"), rel=1e-5)
    assert (Path("cached") / HYPOTHESES).read_text() == (Path("plain") / HYPOTHESES).read_text()


def test_features_are_computed_once_whatever_rate_task_folder_or_restart(
    downstream, corpora, computed, tmp_path
):
    assert downstream(*asr(corpora), "-p", "first", "--cache", "cache") == 0
    assert len(computed) == 22 + 6  # each utterance once, over two epochs and two evaluations
    computed.clear()
    assert downstream(*asr(corpora), "-p", "second", "--cache", "cache") == 0
    equal_runs("first", "second")
    (tmp_path / "moved").mkdir()
    subprocess.run(["cp", "-r", str(corpora / "speech"), "moved/"], check=True)
    moved = asr(tmp_path / "moved", total_steps=7)
    moved[-1] += ",,config.optimizer.lr=0.1"
    assert downstream(*moved, "-p", "third", "--cache", "cache") == 0
    assert downstream("-m", "evaluate", "-t", "dev-clean", "-e", "first/dev-best.ckpt") == 0
    assert computed == []
    assert downstream("-m", "evaluate", "-t", "test-clean", "-e", "first/dev-best.ckpt") == 0
    assert len(computed) == 4


def test_means_give_the_losses_and_predictions_of_a_run_without_cache(downstream, corpora, computed):
    assert downstream(*ks(corpora), "-p", "plain") == 0
    computed.clear()
    assert downstream(*ks(corpora), "-p", "means", "--cache", "cache") == 0
    # Train, dev and test, and a noise of half a second; crops of a second are as long as a probe.
    assert len(computed) == 5 * 12 + 2 * 12 + 13 + 4
    assert losses("means") == pytest.approx(losses("plain"), rel=1e-4)
    for split in ("dev", "test"):
        assert (Path("means") / f"{split}_predict.txt").read_text() == (
            Path("plain") / f"{split}_predict.txt"
        ).read_text()
    computed.clear()
    assert downstream(*ks(corpora), "-p", "again", "--cache", "cache") == 0
    assert computed == []
    equal_runs("means", "again")


def test_means_are_read_batch_by_batch_where_memory_is_short(downstream, corpora, monkeypatch, capsys):
    assert downstream(*ks(corpora), "-p", "rows", "--cache", "cache") == 0
    monkeypatch.setattr("s3prl.downstream.resident.available_memory", lambda device: 1000)
    assert downstream(*ks(corpora), "-p", "read", "--cache", "cache") == 0
    assert "so they are read for each batch" in capsys.readouterr().out
    equal_runs("rows", "read")


def test_crops_at_any_place_are_computed_each_time(downstream, corpora, capsys):
    anywhere = ks(corpora)
    anywhere[-1] += ",,config.downstream_expert.datarc.silence_crops=None"
    assert downstream(*anywhere, "-p", "plain") == 0
    assert downstream(*anywhere, "-p", "means", "--cache", "cache") == 0
    assert "cut at random places" in capsys.readouterr().out
    assert losses("means") == pytest.approx(losses("plain"), rel=1e-4)


def test_a_task_whose_waves_differ_in_each_epoch_fills_no_disk(downstream, capsys, monkeypatch):
    from s3prl.downstream.example.dataset import ExampleDataset

    run = ["-m", "train", "-u", "example", "-d", "example", "--cache", "cache"]
    fields = {f"runner.{name}": value for name, value in {**STEPS, "eval_dataloaders": ["dev"]}.items()}
    fields["downstream_expert.datarc.utterances"] = {"train": 22, "dev": 4, "test": 4}
    fields["downstream_expert.datarc.num_workers"] = 0
    assert downstream(*run, "-p", "same", *override(fields)) == 0
    assert len(list(Path("cache").glob("example-*/*.data"))) == 1

    load = ExampleDataset.__getitem__

    def with_noise(self, index):
        wave, label = load(self, index)
        return wave + 0.01 * torch.randn(len(wave)), label

    monkeypatch.setattr(ExampleDataset, "__getitem__", with_noise)
    assert downstream(*run, "-p", "noisy", *override(fields)) == 0
    assert len(list(Path("cache").glob("example-*/*.data"))) == 1
    assert "other waves in each epoch" in capsys.readouterr().out


def test_an_unreadable_recording_is_skipped_and_listed_as_without_cache(
    downstream, tmp_path, corpora, capsys
):
    subprocess.run(
        ["cp", "-r", str(corpora / "corpus"), str(corpora / "test_set"), str(tmp_path)], check=True
    )
    broken = sorted((tmp_path / "corpus/bed").glob("*.wav"))
    for path in broken:
        path.write_bytes(b"RIFF")
    assert downstream(*ks(tmp_path), "-p", "stops", "--cache", "cache") == 2
    message = capsys.readouterr().err
    assert "bed" in message and "--bad_audio skip" in message and "Traceback" not in message
    for name, cache in (("plain", []), ("means", ["--cache", "cache"])):
        assert downstream(*ks(tmp_path), "-p", name, "--bad_audio", "skip", *cache) == 0
    assert losses("means") == pytest.approx(losses("plain"), rel=1e-4)
    listed = [sorted((Path(name) / "bad_audio.tsv").read_text().splitlines()) for name in ("plain", "means")]
    assert listed[0] == listed[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-f"], "-f trains it"),
        (["--upstream_public_batch"], "Give one of them"),
        (["--cache_limit", "much"], "such as 200G"),
        (["--cache", "corpora"], "Choose another folder"),
        (["--cache", "corpora/speech/train-clean-100/0/7/0-7-0000.flac"], "is a file. Name a folder"),
    ],
)
def test_what_a_cache_cannot_serve_is_refused(downstream, corpora, options, message, capsys, tmp_path):
    (tmp_path / "corpora").symlink_to(corpora)
    assert downstream(*ks(corpora), "-p", "run", "--cache", "cache", *options) == 2
    assert message in capsys.readouterr().err


def test_two_processes_fill_and_read_one_cache_and_train_like_one(downstream, corpora):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port"]
    quiet = {"stdout": subprocess.DEVNULL, "check": True}
    for number, (task, one_batch) in enumerate(((asr, 8), (ks, 16))):
        field = "train_batch_size" if task is asr else "batch_size"
        single = task(corpora)
        single[-1] += f",,config.downstream_expert.datarc.{field}={one_batch}"
        if task is asr:  # each process draws its own dropout
            for run in (single, both := task(corpora)):
                run[-1] += ",,config.downstream_expert.modelrc.RNNs.dropout=[0.0, 0.0]"
        else:
            both = task(corpora)
        assert downstream(*single, "-p", f"one-{number}") == 0
        cache = ["--cache", f"cache-{number}", "--cache_dtype", "float32"]
        port, name = str(20000 + (os.getpid() + 7 * number) % 20000), f"two-{number}"
        subprocess.run([*torchrun, port, *command(*both, "-p", name, *cache)[1:]], **quiet)
        assert losses(name) == pytest.approx(losses(f"one-{number}"), abs=1e-4)
        for file in [HYPOTHESES] if task is asr else ["dev_predict.txt", "test_predict.txt"]:
            assert (Path(name) / file).read_text() == (Path(f"one-{number}") / file).read_text()


def test_a_cached_run_killed_again_and_again_ends_like_one_that_never_was(workdir, corpora):
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

    def train(name):
        runner = {"total_steps": 60, "log_step": 7, "eval_step": 10, "save_step": 3}
        return command(*asr(corpora, **runner), "-a", "-p", name, "--cache", f"cache-{name}")

    subprocess.run(train("whole"), check=True, **quiet)
    kills, expdir = 0, Path("killed")
    for turn in range(3):
        start = time.time()
        run = subprocess.Popen(train("killed"), start_new_session=True, **quiet)
        seen = "cache-killed/example-*/*.data" if turn == 0 else "killed/states-*.ckpt"
        while run.poll() is None and not any(p.stat().st_mtime > start for p in Path().glob(seen)):
            time.sleep(0.005)
        time.sleep(0.05 * turn)
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        kills += run.wait() == -signal.SIGKILL
    assert kills >= 2, "the run ended before it could be killed"
    subprocess.run([ROOT / "run_while.sh", *train("killed")], check=True, **quiet)
    equal_runs("whole", expdir)
    assert (expdir / HYPOTHESES).read_text() == (Path("whole") / HYPOTHESES).read_text()


def test_a_full_disk_costs_only_time(downstream, corpora, capsys):
    assert downstream(*asr(corpora), "-p", "room", "--cache", "cache-a") == 0
    largest = max(path.stat().st_size for path in Path("room").iterdir())
    with files_of_at_most(largest + 10_000):
        assert downstream(*asr(corpora), "-p", "full", "--cache", "cache-b") == 0
    assert "computed as without --cache" in capsys.readouterr().err
    kept = [next(Path(name).glob("example-*/*.data")).stat().st_size for name in ("cache-a", "cache-b")]
    assert 0 < kept[1] <= largest + 10_000 < kept[0]
    equal_runs("room", "full")


def test_the_heads_of_a_sweep_read_one_cache_and_end_as_their_separate_runs(downstream, corpora, computed):
    cache = ["--cache", "cache"]
    for task in (ks, asr):
        run = task(corpora)
        run[-1] = ",,".join(part for part in run[-1].split(",,") if "optimizer.lr" not in part)
        computed.clear()
        assert downstream(*run, "-p", f"sweep-{task.__name__}", "--sweep_lr", "3e-2,1e-3", *cache) == 0
        assert len(computed) in (101, 28)  # each utterance once, for both heads
        computed.clear()
        for rate in ("3e-2", "1e-3"):
            alone = [*run[:-1], f"{run[-1]},,config.optimizer.lr={rate}"]
            name = f"{task.__name__}-{rate}"
            assert downstream(*alone, "-p", name, *cache) == 0
            equal_runs(name, f"sweep-{task.__name__}/lr{rate}")
        assert computed == []
