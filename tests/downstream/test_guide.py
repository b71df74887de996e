"""downstream/README.md, "Adding a task", followed to the letter: spoken digits from CSV files, both ways."""

import csv
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from conftest import ROOT, metrics

import s3prl.downstream
from s3prl.downstream.common import lists
from s3prl.utility.errors import UserError

GUIDE = (ROOT / "downstream/README.md").read_text(encoding="utf-8")
DIGITS = 4
SIZES = {"train": 80, "dev": 20, "test": 20}


def block(first_words: str) -> str:
    """The one block of code of the guide that holds some words."""
    found = [code for code in re.findall(r"```\w+\n(.*?)```", GUIDE, re.DOTALL) if first_words in code]
    assert len(found) == 1, first_words
    return found[0]


def speak(digit: int, rng: np.random.Generator) -> np.ndarray:
    """Stands for a spoken digit: two tones after another, of pitches that say which, in noise."""
    time = np.arange(int(16000 * rng.uniform(0.1, 0.2))) / 16000
    pitches = 300 + 500 * digit, 2500 + 400 * digit
    tones = [np.sin(2 * np.pi * rng.uniform(0.97, 1.03) * pitch * time) for pitch in pitches]
    wave = np.concatenate([np.zeros(1600), *tones, np.zeros(1600)]) * rng.uniform(0.1, 0.4)
    return wave + rng.normal(0, 0.005, len(wave))


@pytest.fixture
def digits(workdir):
    """digits/: wave files, a table for each split, and all.csv with a column that names the split."""
    rng, rows = np.random.default_rng(0), []
    Path("digits/wavs").mkdir(parents=True)
    for split, size in SIZES.items():
        for index in range(size):
            path = f"wavs/{split}-{index}.wav"
            soundfile.write(Path("digits") / path, speak(index % DIGITS, rng), 16000)
            rows.append({"path": path, "label": index % DIGITS, "split": split})
    write_table("digits/all.csv", rows)
    for split in SIZES:
        write_table(f"digits/{split}.csv", [row for row in rows if row["split"] == split], ["path", "label"])
    return Path("digits")


def write_table(path, rows, columns=("path", "label", "split")):
    with Path(path).open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def tasks(workdir, monkeypatch):
    """A folder of tasks, so that the clone stays untouched."""
    folder = workdir / "tasks"
    folder.mkdir()
    monkeypatch.setattr(s3prl.downstream, "__path__", [*s3prl.downstream.__path__, str(folder)])
    yield folder
    for name in [name for name in sys.modules if name.startswith("s3prl.downstream.guide_")]:
        del sys.modules[name]


def test_a_copy_of_the_example_learns_the_digits_of_csv_files(tasks, digits, downstream):
    copy = tasks / "guide_copy"
    shutil.copytree(ROOT / "downstream/example", copy)
    (copy / "dataset.py").write_text(block("class ExampleDataset"))
    config = yaml.safe_load((copy / "config.yaml").read_text())
    datarc = config["downstream_expert"]["datarc"]
    del datarc["utterances"], datarc["seconds"]
    datarc.update(yaml.safe_load(block("tables: {train:")), classes=DIGITS, num_workers=0)
    config["runner"].update(total_steps=120, eval_step=120, save_step=120)
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    run = ["-u", "fbank", "-d", "guide_copy", "-c", copy / "config.yaml", "-p", "run"]
    assert downstream("-m", "train", *run, "-o", "config.optimizer.lr=3e-3") == 0
    last = {line["split"]: line["acc"] for line in metrics(Path("run"))}
    assert last["dev"] > 0.9 and last["test"] > 0.9


def test_a_task_from_the_kit_learns_the_digits_of_one_csv_file(tasks, digits, downstream, capsys):
    code = block("class DownstreamExpert(UtteranceTask)")
    code = code[: code.index("    def items(")] + block("lists.items(self.find(self.root), split=split)")
    code = "from ..common import lists\n" + code.replace('["yes", "no"]', 'list("0123")')
    (tasks / "guide_kit").mkdir()
    (tasks / "guide_kit/expert.py").write_text(code)
    Path("kit.yaml").write_text("""
runner: {total_steps: 100, log_step: 50, eval_step: 100, save_step: 100, eval_dataloaders: [dev]}
optimizer: {name: AdamW, lr: 1.0e-2}
downstream_expert:
  datarc: {root: digits/all.csv}
  modelrc: {projector_dim: 32, select: UtteranceLevel, UtteranceLevel: {pooling: MeanPooling}}
""")
    run = ["-u", "fbank_no_cmvn", "-d", "guide_kit", "-c", "kit.yaml", "-p", "run"]
    assert downstream("-m", "train", *run) == 0
    assert metrics(Path("run"))[-1]["acc"] > 0.9
    assert downstream("-m", "evaluate", "-t", "test", "-e", "run/dev-best.ckpt") == 0
    assert json.loads(Path("run/result.json").read_text())["metrics"]["acc"] > 0.9
    assert downstream("-m", "evaluate", "-t", "tset", "-e", "run/dev-best.ckpt") == 2
    assert "all.csv has no split 'tset'. Did you mean 'test'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "split", "message"),
    [
        (None, None, "There is no list"),
        ("file,label\na.wav,1\n", None, "has no column 'path'"),
        ("path,lable\na.wav,1\n", None, "no column 'label'. Did you mean 'lable'?"),
        ("path,label\na.wav,1\n", "dev", "has no column 'split'"),
        ("path,label\na.wav,1\nb.wav,\n", None, "line 3: 'label' is empty"),
        ("path,label\na.wav\n", None, "line 2: 'label' is empty"),
        ("path,label\n", None, "has no rows"),
        ("", None, "has no column 'path'"),
    ],
)
def test_a_mistake_in_a_table_is_named_with_its_file(tmp_path, text, split, message):
    table = tmp_path / "mine.csv"
    if text is not None:
        table.write_text(text)
    with pytest.raises(UserError, match=re.escape(message)) as error:
        lists.items(table, split=split)
    assert str(table) in str(error.value)


def test_paths_of_a_table_count_from_its_folder(tmp_path):
    table = tmp_path / "mine.csv"
    table.write_text("\ufeffpath,label\nwavs/a.wav,1\n/elsewhere/b.wav,2\n", encoding="utf-8")
    first, second = lists.items(table)
    assert (first.name, first.recording.path, first.label) == ("wavs/a", str(tmp_path / "wavs/a.wav"), "1")
    assert second.recording.path == "/elsewhere/b.wav"
