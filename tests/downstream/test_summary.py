"""What a run of a task says at its beginning and at its end."""

import argparse
from pathlib import Path

import pytest
from conftest import tiny
from tones import make_corpus

from s3prl.downstream.common.items import Item, seconds_of
from s3prl.downstream.example.expert import DownstreamExpert
from s3prl.downstream.summary import audio
from s3prl.utility.override import apply_override
from s3prl.utility.paths import ROOT
from s3prl.utility.recordings import Recording


def test_a_task_of_the_kit_tells_its_data_and_the_command_for_its_test_set(downstream, workdir, capsys):
    make_corpus(workdir / "corpus", {"train-clean-100": 6, "dev-clean": 3, "test-clean": 2})
    datarc = "config.downstream_expert.datarc"
    options = (
        f"{datarc}.libri_root=corpus,,{datarc}.bucket_file=tables,,{datarc}.num_workers=0,,"
        "config.runner.total_steps=1,,config.downstream_expert.modelrc.RNNs.dim=[8, 8]"
    )
    mini = ROOT / "downstream" / "asr" / "mini.yaml"
    assert downstream("-u", "fbank", "-d", "asr", "-c", mini, "-p", "run", "-o", options) == 0
    out = capsys.readouterr().out
    assert "[Upstream] fbank: 1 layer of 240 dimensions, a frame every 10 ms\n" in out
    [data] = [line for line in out.splitlines() if line.startswith("[Data]")]
    assert data.startswith("[Data] train: 6 utterances (") and "dev-clean: 3 utterances (" in data
    assert data.endswith(" s)")
    assert "[Batch] 16 x 1 process x 1 accumulation step = 16 per update, 1 update per epoch, on cpu\n" in out
    assert "[Runner] Best wer on dev-clean: " in out and " at step 1 (dev-best.ckpt)." in out
    assert out.endswith("python run_downstream.py -m evaluate -t test-clean -e run/dev-best.ckpt\n")


def test_a_task_of_three_methods_tells_what_is_known(downstream, capsys, monkeypatch):
    monkeypatch.delattr(DownstreamExpert, "metric")  # as in tasks of the public S3PRL
    assert downstream("-u", "example", "-d", "example", "-p", "run", "-o", tiny(total_steps=1)) == 0
    out = capsys.readouterr().out
    assert "[Upstream] example: 3 layers of 80 dimensions, a frame every 10 ms\n" in out
    assert "[Data] train: 22 items\n" in out
    assert "Best" not in out, "it declares no metric"
    assert out.endswith("-m evaluate -t dev -e run/dev-best.ckpt\n")


def test_a_task_of_three_methods_that_declares_a_metric_tells_the_best_score(downstream, capsys):
    assert downstream("-u", "example", "-d", "example", "-p", "run", "-o", tiny(total_steps=1)) == 0
    assert "[Runner] Best acc on dev: " in capsys.readouterr().out


def test_seconds_come_from_lengths_and_excerpts_and_never_from_files():
    excerpt = Item("a", Recording("nowhere.wav", start=1.5, stop=4.0), "x")
    measured = Item("b", Recording("nowhere.wav"), "x", samples=48_000)
    unknown = Item("c", Recording("nowhere.wav"), "x")
    assert seconds_of([excerpt, measured, measured]) == 8.5
    assert seconds_of([unknown, unknown, measured]) is None


@pytest.mark.parametrize(("seconds", "text"), [(25.2, "25 s"), (192, "3.2 min"), (362_160, "100.6 h")])
def test_audio_is_measured_in_hours_or_what_suits_a_small_corpus(seconds, text):
    assert audio(seconds) == text


@pytest.mark.parametrize(("rank", "lines"), [(None, 1), ("0", 1), ("1", 0)])
def test_one_process_of_several_tells_what_is_overridden(rank, lines, monkeypatch, capsys):
    monkeypatch.delenv("RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    args = argparse.Namespace(seed=1)
    apply_override("args.seed=2", args, {})
    assert args.seed == 2 and capsys.readouterr().err.count("[Override]") == lines


def test_a_new_start_moves_results_and_curves_of_the_old_run_aside(downstream):
    run = ("-u", "example", "-d", "example", "-p", "run", "-o", tiny(total_steps=1))
    downstream(*run)
    for name in ("result.json", "result-dev.json", "curves.png", "curves.pdf"):
        (Path("run") / name).write_text("of the old run")
    downstream(*run)
    assert not list(Path("run").glob("curves.*")) and not list(Path("run").glob("result*"))
    assert len(list(Path("run").glob("previous_*/curves.*"))) == 2
