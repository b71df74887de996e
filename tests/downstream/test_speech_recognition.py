"""Speech recognition from the user's own lists: symbols of the training texts, error rates, inference."""

import json
import random
import re
from pathlib import Path

import jiwer
import pytest
import soundfile
import yaml
from own_data import make_config, write_list
from tones import speak

from s3prl.downstream.speech_recognition.expert import DownstreamExpert
from s3prl.utility import get_best_dev

TRAIN = ("-m", "train", "-u", "fbank", "-d", "speech_recognition", "-c", "own.yaml")
SMALL = {"total_rate": -1, "module": "LSTM", "bidirection": True, "sample_style": "concat", "dim": [48]}
SMALL |= {"dropout": [0], "layer_norm": [False], "proj": [False], "sample_rate": [1]}


def sentence(rng):
    """One to three words of two letters, no letter twice in a row."""
    return " ".join("".join(rng.sample("ABCD", 2)) for _ in range(rng.randint(1, 3)))


@pytest.fixture
def spoken(workdir):
    """my/{train,dev,test}.csv of texts whose letters are tones."""
    rng = random.Random(0)
    for split, size in {"train": 48, "dev": 6, "test": 6}.items():
        rows = []
        for number in range(size):
            text = sentence(rng)
            path = workdir / f"my/wavs/{split}-{number}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, speak("".join(2 * letter for letter in text)), 16000)
            rows.append([f"wavs/{path.name}", text])
        write_list(workdir / f"my/{split}.csv", ["path", "text"], rows)
    return workdir / "my"


def small_config(root, **datarc):
    """own.yaml with a recogniser that learns tones in seconds."""
    steps = {"total_steps": 60, "log_step": 20, "eval_step": 60, "save_step": 60}
    config = make_config("speech_recognition", root, datarc=datarc, **steps)
    config.pop("specaug")
    config["downstream_expert"]["modelrc"] = {"project_dim": 48, "select": "RNNs", "RNNs": SMALL}
    Path("own.yaml").write_text(yaml.safe_dump(config))
    return config["downstream_expert"]


def read_ark(path):
    return [line.partition(" ")[2] for line in Path(path).read_text().splitlines()]


def test_a_recogniser_learns_texts_and_transcribes_files_without_its_lists(spoken, downstream, capsys):
    small_config(spoken)
    assert downstream(*TRAIN, "-p", "run") == 0
    assert Path("run/vocabulary.txt").read_text().splitlines() == [" ", "A", "B", "C", "D"]
    for split in ("train", "dev"):
        (spoken / f"{split}.csv").unlink()
    capsys.readouterr()
    assert downstream("-m", "evaluate", "-t", "test", "-e", "run/dev-best.ckpt") == 0
    result = json.loads(Path("run/result.json").read_text())["metrics"]
    assert result["wer"] < 0.5 and result["cer"] < 0.25
    references, hypotheses = (read_ark(f"run/test-{kind}.ark") for kind in ("ref", "hyp"))
    assert result["wer"] == pytest.approx(jiwer.wer(references, hypotheses))
    assert result["cer"] == pytest.approx(jiwer.cer(references, hypotheses))
    assert get_best_dev.main(["run/log.log"]) == 0
    assert re.search(rf"accompanied by this test score {result['wer']}", capsys.readouterr().out)
    wave = spoken / "wavs/test-0.flac"
    assert downstream("-m", "inference", "-t", wave, "-e", "run/dev-best.ckpt") == 0
    text = dict(line.split(" ", 1) for line in Path("run/test-hyp.ark").read_text().splitlines())
    assert read_ark("run/inference.ark") == [text["wavs/test-0"]]


@pytest.mark.parametrize(
    ("text", "kept", "symbols"),
    [
        ({"mode": "word"}, "vocabulary.txt", None),
        ({"mode": "subword", "vocab_size": 12}, "subword.model", 12),
    ],
)
def test_words_and_pieces_of_words_come_from_the_training_texts_too(spoken, text, kept, symbols):
    block = small_config(spoken, text=text)
    task = DownstreamExpert(4, 160, downstream_expert=block, expdir="run")
    words = {word for item in task.items("train") for word in item.label.split()}
    assert len(task.encoder) == (symbols or len(words) + 3)
    item = task.items("train")[0]
    assert task.encoder.decode(task.target(item).tolist()) == item.label
    assert Path("run", kept).is_file()
    (spoken / "train.csv").unlink()
    again = DownstreamExpert(
        4, 160, downstream_expert=block, expdir="new", mode="evaluate", init_ckpt="run/dev-best.ckpt"
    )
    assert again.target(item).tolist() == task.target(item).tolist()
