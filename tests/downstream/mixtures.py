"""Data folders as Kaldi has them, with mixtures of two speakers, each of whom is a tone in a little noise."""

import numpy as np
import soundfile
import yaml
from conftest import ROOT

from s3prl.utility.config import load_yaml

RATE = 16000
PITCHES = {"anna": (300, 700), "bert": (1500, 2500)}


def mixture(turns, seconds, rng):
    """`turns` are `(speaker, start, end)` in seconds: float [samples]."""
    time = np.arange(round(RATE * seconds)) / RATE
    wave = rng.normal(0, 0.005, len(time))
    pitches = {name: rng.uniform(*PITCHES[name]) for name in sorted({turn[0] for turn in turns})}
    for speaker, start, end in turns:
        active = (time >= start) & (time < end)
        wave[active] += 0.2 * np.sin(2 * np.pi * pitches[speaker] * time[active])
    return wave


def write_folder(folder, recordings, rng, scp=True):
    """A data folder; `recordings` is name -> (turns, seconds). Without `scp` the files are in wav/ alone."""
    (folder / "wav").mkdir(parents=True)
    tables = {"wav.scp": [], "segments": [], "utt2spk": [], "rttm": []}
    for name, (turns, seconds) in recordings.items():
        soundfile.write(folder / "wav" / f"{name}.wav", mixture(turns, seconds, rng), RATE)
        tables["wav.scp"].append(f"{name} wav/{name}.wav")
        for number, (speaker, start, end) in enumerate(turns):
            tables["segments"].append(f"{name}-{number} {name} {start:.2f} {end:.2f}")
            tables["utt2spk"].append(f"{name}-{number} {speaker}")
            line = f"SPEAKER {name} 1 {start:.2f} {end - start:.2f} <NA> <NA> {speaker} <NA> <NA>"
            tables["rttm"].append(line)
    for table, lines in tables.items():
        if scp or table != "wav.scp":
            (folder / table).write_text("".join(f"{line}\n" for line in lines))
    return folder


def conversation(rng, seconds=2.0):
    """Both speakers, in an overlap of random length: `(turns, seconds)`."""
    first, second = rng.permutation(list(PITCHES)).tolist()
    begin, end = (round(float(time), 2) for time in rng.uniform((0.6, 1.1), (1.0, 1.4)))
    return [(first, 0.2, end), (second, begin, 1.8)], seconds


def make_data(root, sizes, seed=0):
    """A data folder for each split of `sizes`, with so many conversations."""
    rng = np.random.default_rng(seed)
    for split, size in sizes.items():
        found = {f"{split}-{number}": conversation(rng) for number in range(size)}
        write_folder(root / split, found, rng)
    return root


def make_config(root, datarc=None, **runner):
    """The shipped config with a small model for the data folders in `root`, written beside it as sd.yaml."""
    config = load_yaml(ROOT / "downstream/diarization/config.yaml")
    config["runner"].update(gradient_accumulate_steps=1, **runner)
    config["optimizer"]["lr"] = 1e-2
    expert = config["downstream_expert"]
    expert["loaderrc"].update({f"{split}_dir": str(root / split) for split in ("train", "dev", "test")})
    expert["loaderrc"].update(num_workers=0, eval_batchsize=4)
    expert["datarc"].update(datarc or {})
    expert["modelrc"]["hidden_size"] = 16
    (root.parent / "sd.yaml").write_text(yaml.safe_dump(config))
    return config
