"""Recordings of one's own, made of tones, and lists of them."""

import csv
import json

import numpy as np
import soundfile
import yaml
from conftest import ROOT

from s3prl.utility.config import load_yaml

PITCHES = {"low": 300, "mid": 900, "high": 2500}


def tone(pitch, seconds, rng, rate=16000):
    """A tone in a little noise: [samples]."""
    time = np.arange(round(rate * seconds)) / rate
    return 0.3 * np.sin(2 * np.pi * pitch * time) + rng.normal(0, 0.005, len(time))


def write_wave(path, wave, rate=16000):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate)


def write_list(path, columns, rows):
    """A CSV file, or a JSONL file when its name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        if path.suffix == ".jsonl":
            file.writelines(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows)
        else:
            csv.writer(file).writerows([columns, *rows])


def make_classes(root, sizes, columns=("path", "label", "speaker")):
    """`<split>.csv` and wavs of three classes; the speakers of a split are its name and a or b."""
    rng = np.random.default_rng(0)
    for split, size in sizes.items():
        rows = []
        for number in range(size):
            label = list(PITCHES)[number % 3]
            # A tone alone would be nothing but its mean, which fbank subtracts.
            parts = [tone(pitch, rng.uniform(0.05, 0.15), rng) for pitch in (0, PITCHES[label])]
            write_wave(root / f"wavs/{split}-{number}.wav", np.concatenate(parts))
            rows.append([f"wavs/{split}-{number}.wav", label, f"{split}-{'ab'[number % 2]}"][: len(columns)])
        write_list(root / f"{split}.csv", columns, rows)
    return root


def make_config(task, root, name="own.yaml", suffix="csv", datarc=None, **runner):
    """The shipped config of a task for a short run on the lists in `root`, written beside that folder."""
    config = load_yaml(ROOT / f"downstream/{task}/config.yaml")
    config["runner"].update(eval_dataloaders=["dev", "test"], **runner)
    config.pop("scheduler", None)
    config["optimizer"]["lr"] = 1e-2
    lists = {split: str(root / f"{split}.{suffix}") for split in ("train", "dev", "test")}
    config["downstream_expert"]["datarc"].update(lists=lists, num_workers=0, **(datarc or {}))
    (root.parent / name).write_text(yaml.safe_dump(config))
    return config
