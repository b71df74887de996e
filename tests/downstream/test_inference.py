"""`-m inference`: one recording, several, or a folder of them."""

from pathlib import Path

import pytest
from test_bad_audio import OPTIONS, override
from tones import make_corpus, read_ark

TASK = """
import torch
from torch import nn


class DownstreamExpert(nn.Module):
    def __init__(self, upstream_dim, **kwargs):
        super().__init__()

    def get_dataloader(self, split):
        return []

    def log_records(self, split, **kwargs):
        return []

    def inference(self, features, filenames):
        print(filenames)
        return [len(one) for one in features]
"""


@pytest.fixture
def recogniser(workdir, downstream):
    """A trained run, and the folder of its recordings: `-m inference` with further arguments."""
    make_corpus(workdir / "corpus", {"train-clean-100": 8, "dev-clean": 4})
    assert downstream(*OPTIONS, "-p", "run", "-o", override(total_steps=2, eval_step=2)) == 0

    def infer(*arguments):
        return downstream("-m", "inference", "-e", "run/states-2.ckpt", *arguments)

    return infer, workdir / "corpus" / "dev-clean"


def test_every_recording_of_a_folder_and_every_file_gets_a_result(recogniser, capsys):
    infer, folder = recogniser
    files = sorted(folder.rglob("*.flac"))
    assert infer("-t", *files[:2]) == 0
    two = read_ark(Path("run/inference.ark"))
    assert list(two) == [path.stem for path in files[:2]]
    assert infer("-t", folder) == 0
    names = [str(path.relative_to(folder).with_suffix("")) for path in files]
    four = read_ark(Path("run/inference.ark"))
    assert list(four) == names  # the file of the call before is replaced
    assert [four[name] for name in names[:2]] == list(two.values())
    assert infer("-t", files[0]) == 0
    assert read_ark(Path("run/inference.ark")) == {files[0].stem: two[files[0].stem]}
    assert capsys.readouterr().out.count(f"\n{files[0].stem} ") == 2


def test_an_unreadable_recording_stops_or_is_counted_and_listed(recogniser, capsys):
    infer, folder = recogniser
    bad, good = sorted(folder.rglob("*.flac"))[:2]
    bad.write_bytes(b"no audio")
    assert infer("-t", bad, good) == 2
    assert bad.name in capsys.readouterr().err
    assert infer("-t", bad, good, "--bad_audio", "skip") == 0
    assert (
        "inference: 1 unreadable recording(s) skipped, listed in run/bad_audio.tsv" in capsys.readouterr().err
    )
    assert list(read_ark(Path("run/inference.ark"))) == [good.stem]
    assert str(bad) in Path("run/bad_audio.tsv").read_text()


def test_a_path_that_does_not_exist_is_told_before_a_model_is_built(recogniser, capsys, monkeypatch):
    infer, _ = recogniser
    monkeypatch.setattr("s3prl.downstream.runner.build_models", None)
    assert infer("-t", "nowhere.wav", "--bad_audio", "skip") == 2
    assert "-t nowhere.wav: there is no such file or folder" in capsys.readouterr().err
    Path("empty").mkdir()
    assert infer("-t", "empty") == 2
    assert "-t empty has no recording" in capsys.readouterr().err


def test_evaluation_takes_one_split(recogniser, downstream, capsys):
    assert downstream("-m", "evaluate", "-t", "dev-clean", "test-clean", "-e", "run/states-2.ckpt") == 2
    assert "-t dev-clean test-clean: -m evaluate takes one split" in capsys.readouterr().err


def test_files_of_the_same_name_are_told_apart_by_their_paths(recogniser, downstream, capsys):
    _, folder = recogniser
    Path("mine").mkdir()
    Path("mine/expert.py").write_text(TASK)
    Path("mine/config.yaml").write_text("runner: {total_steps: 1}\noptimizer: {name: Adam}\n")
    source = next(folder.rglob("*.flac")).read_bytes()
    for name in ("a/x.flac", "b/x.flac", "b/y.flac"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(source)
    options = ["-m", "inference", "-u", "fbank", "-d", "./mine", "-p", "other"]
    assert downstream(*options, "-t", "a/x.flac", "b/x.flac", "b/y.flac") == 0
    assert "['a/x.flac']\n['b/x.flac']\n['y']" in capsys.readouterr().out
