"""Labels of whole utterances from the user's own lists: what is read, learned, kept and reported."""

import json
import re
import shlex
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import ROOT, metrics
from own_data import make_classes, make_config, tone, write_list, write_wave

from s3prl.downstream.utterance_classification.expert import DownstreamExpert
from s3prl.training.plan import BucketBatchSampler
from s3prl.utility import get_best_dev
from s3prl.utility.config import load_yaml

README = (ROOT / "downstream/utterance_classification/README.md").read_text(encoding="utf-8")
TRAIN = ("-m", "train", "-u", "fbank", "-d", "utterance_classification", "-c", "own.yaml")
GUIDE = (ROOT / "downstream/README.md").read_text(encoding="utf-8")
DIGITS = "0123"
SHORT = (
    "config.runner.total_steps=40,,config.runner.eval_step=40,,config.runner.save_step=40,,"
    "config.optimizer.lr=1e-2,,config.scheduler.num_warmup_steps=1,,"
    "config.downstream_expert.datarc.num_workers=0"
)


def example():
    """The arguments of the guide's command that trains on spoken digits, `-o` and its value at the end."""
    (block,) = [block for block in re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL) if "-n digits" in block]
    train = block.replace("\\\n", "").splitlines()[0]
    return shlex.split(train)[2:]


def build(root, suffix="csv", **options):
    block = load_yaml(ROOT / "downstream/utterance_classification/config.yaml")["downstream_expert"]
    lists = {split: str(root / f"{split}.{suffix}") for split in ("train", "dev", "test")}
    block["datarc"].update(lists=lists, num_workers=0)
    return DownstreamExpert(4, downstream_expert=block, expdir=str(root / "run"), **options)


def lines(path):
    return Path(path).read_text().splitlines()


def speak(path, digit, rng):
    """Stands for a spoken digit of the real corpus, at its 8 kHz: two tones whose order matters."""
    tones = [tone(300 + 300 * int(digit), 0.06, rng, 8000), tone(3000 - 500 * int(digit), 0.06, rng, 8000)]
    write_wave(path, np.concatenate(tones) * rng.uniform(0.5, 1.5), 8000)


@pytest.fixture
def spoken_digits(workdir):
    """Four digits of two speakers, as the Free Spoken Digit Dataset has them, with its odd files."""
    folder, rng = Path("free-spoken-digit-dataset"), np.random.default_rng(0)
    for speaker in ("anna", "ben"):
        for digit in DIGITS:
            for index in range(16):
                speak(folder / f"recordings/{digit}_{speaker}_{index}.wav", digit, rng)
    (folder / "README.md").write_text("digits")
    (folder / "recordings/notes.txt").write_text("not a recording")
    return folder


def test_script_and_command_of_the_guide_list_the_spoken_digits_and_fbank_learns_them(
    spoken_digits, downstream, capsys
):
    (script,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(script, "README.md", "exec"), {})
    tables = {split: lines(spoken_digits / f"{split}.csv") for split in ("train", "dev", "test")}
    assert {split: len(table) - 1 for split, table in tables.items()} == {
        "train": 2 * 4 * 8, "dev": 2 * 4 * 3, "test": 2 * 4 * 5,
    }  # fmt: skip
    assert tables["test"][:3] == [
        "path,label,speaker",
        "recordings/0_anna_0.wav,0,anna",
        "recordings/0_anna_1.wav,0,anna",
    ]
    assert tables["dev"][1] == "recordings/0_anna_5.wav,0,anna"
    command = example()
    assert downstream(*command[:-1], f"{command[-1]},,{SHORT}") == 0
    assert "[utterance_classification] 2 of the 2 speakers of 'test' are in 'train' too" in (
        capsys.readouterr().err
    )
    last = {line["split"]: line["acc"] for line in metrics(Path("result/downstream/digits"))}
    assert last["dev"] > 0.9 and last["test"] > 0.9  # chance is 0.25
    assert lines("result/downstream/digits/labels.txt") == list(DIGITS)


@pytest.fixture
def classes(workdir):
    return make_classes(workdir / "my", {"train": 24, "dev": 9, "test": 6})


def test_a_run_is_evaluated_again_without_its_training_list_and_from_another_folder(
    classes, downstream, workdir, monkeypatch, capsys
):
    make_config("utterance_classification", classes, total_steps=20, eval_step=10, save_step=10)
    assert downstream(*TRAIN, "-p", "run") == 0
    assert lines("run/labels.txt") == ["high", "low", "mid"]
    best = json.loads(Path("run/metric.json").read_text())
    assert best == {"name": "acc", "lower_is_better": False, "split": "dev"}
    (classes / "train.csv").unlink()
    capsys.readouterr()
    assert downstream("-m", "evaluate", "-t", "dev", "-e", "run/dev-best.ckpt") == 0
    result = json.loads(Path("run/result.json").read_text())["metrics"]
    assert result["acc"] > 0.9 and result["f1"] > 0.9  # chance is a third
    assert get_best_dev.main(["run/log.log"]) == 0
    said = capsys.readouterr().out
    assert re.search(rf"The best dev score {result['acc']} at step \d+, accompanied by this test score", said)
    truth, predicted = (lines(f"run/dev_{kind}.txt") for kind in ("truth", "predict"))
    assert truth[:2] == ["wavs/dev-0 low", "wavs/dev-1 mid"] and len(truth) == len(predicted) == 9
    same = np.mean([one == other for one, other in zip(truth, predicted, strict=True)])
    assert same == pytest.approx(result["acc"])

    elsewhere = workdir / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    weights = ["-i", workdir / "run/dev-best.ckpt", "-u", "fbank", "-d", "utterance_classification"]
    again = ["-m", "evaluate", "-t", "dev", *weights, "-c", workdir / "own.yaml", "-n", "again"]
    assert downstream(*again) == 0
    assert json.loads(Path("result/downstream/again/result.json").read_text())["metrics"] == result


def test_items_are_the_rows_of_the_lists_in_csv_and_in_jsonl(tmp_path):
    root = make_classes(tmp_path, {"train": 6, "dev": 3})
    csv_task = build(root)
    for split in ("train", "dev"):
        table = [line.split(",") for line in lines(root / f"{split}.csv")]
        write_list(root / f"{split}.jsonl", table[0], table[1:])
    items = csv_task.items("train")
    assert len(csv_task.items("dev")) == 3
    assert items[0].name == "wavs/train-0" and [item.label for item in items[:2]] == ["low", "mid"]
    assert Counter(item.label for item in items) == {"low": 2, "mid": 2, "high": 2}
    assert items[0].samples == soundfile.info(root / "wavs/train-0.wav").frames
    assert build(root, "jsonl").items("train") == items
    assert csv_task.classes == ["high", "low", "mid"] and csv_task.target(items[0]) == 1
    assert isinstance(csv_task.get_dataloader("train").batch_sampler, BucketBatchSampler)


def test_excerpts_of_one_file_are_utterances_of_their_own(tmp_path):
    write_wave(tmp_path / "talk.flac", np.ones(32000) / 2)
    rows = [["talk.flac", "a", 0.5, 1.0], ["talk.flac", "b", 1.0, ""], ["talk.flac", "a", "", 0.5]]
    for split in ("train", "dev"):
        write_list(tmp_path / f"{split}.csv", ["path", "label", "start", "end"], rows)
    found = [(item.name, item.samples) for item in build(tmp_path).items("dev")]
    assert found == [
        ("talk-0.500-1.000", 8000), ("talk-1.000-end", 16000), ("talk-0.000-0.500", 8000),
    ]  # fmt: skip


def test_speakers_that_training_knows_are_counted(tmp_path, capsys):
    make_classes(tmp_path, {"train": 6, "dev": 6, "test": 6})
    task = build(tmp_path)
    task.items("dev")
    assert "speakers" not in capsys.readouterr().err  # those of each split are its own
    rows = [[f"wavs/dev-{n}.wav", "low", speaker] for n, speaker in enumerate(["train-a", "new", ""])]
    write_list(tmp_path / "dev.csv", ["path", "label", "speaker"], rows)
    task.items("dev")
    assert "1 of the 2 speakers of 'dev' are in 'train' too" in capsys.readouterr().err


def test_the_shipped_configs_differ_in_size_only():
    full, mini = (
        load_yaml(ROOT / f"downstream/utterance_classification/{name}.yaml")["downstream_expert"]
        for name in ("config", "mini")
    )
    assert full["modelrc"] == mini["modelrc"] and full["datarc"].keys() == mini["datarc"].keys()
    assert set(full["datarc"]["lists"]) == set(mini["datarc"]["lists"]) == {"train", "dev", "test"}
