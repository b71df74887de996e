"""Small made-up corpora in the layouts that tasks of the public package read, each with a config for it.

Every function writes a corpus into a folder and returns the block `downstream_expert`. The fields are those
that the public configs have; sizes are small and batches few.
"""

import csv
import json
import random
from pathlib import Path

import numpy as np
import soundfile

RATE = 16000
FRAME = 160  # samples per label


def tone(path: Path, seconds: float, pitch: int, rate: int = RATE) -> int:
    """Write a noisy sine, the higher the greater `pitch` is; returns its length in samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(sum(map(ord, path.name))).normal(0, 0.01, len(time))
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 200 * (1 + pitch) * time) + noise, rate)
    return len(time)


def table(path: Path, rows: list[dict]) -> None:
    """Write rows as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def lines(path: Path, content: list[str]) -> None:
    """Write lines of text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in content))


def utterance_classifier() -> dict:
    """The model of SUPERB's utterance tasks."""
    return {"projector_dim": 8, "select": "UtteranceLevel", "UtteranceLevel": {"pooling": "MeanPooling"}}


def iemocap(folder: Path) -> dict:
    """IEMOCAP: sentences by session, and a JSON of labels for every fold. Here at 8 kHz, to be resampled."""
    emotions = ["neu", "hap", "ang", "sad"]
    split_of_session = {1: "test", 2: "train", 3: "train"}
    entries: dict[str, list] = {"train": [], "test": []}
    for session, split in split_of_session.items():
        for number in range(8):
            path = Path(f"Session{session}/sentences/wav/Ses0{session}F/Ses0{session}F_{number:03d}.wav")
            tone(folder / path, 0.3 + 0.02 * number, number % 4, rate=8000)
            entries[split].append({"path": str(path), "label": emotions[number % 4]})
    for split, meta_data in entries.items():
        path = folder / "meta_data" / "Session1" / f"{split}_meta_data.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        labels = {emotion: index for index, emotion in enumerate(emotions)}
        path.write_text(json.dumps({"labels": labels, "meta_data": meta_data}))
    return {
        "datarc": {
            "root": str(folder), "meta_data": str(folder / "meta_data"), "test_fold": "fold1",
            "valid_ratio": 0.2, "pre_load": True, "num_workers": 1, "train_batch_size": 2,
            "eval_batch_size": 2,
        },
        "modelrc": utterance_classifier(),
    }  # fmt: skip


def fluent_speech_commands(folder: Path) -> dict:
    """Fluent Speech Commands: a CSV for every split with the path and the three slots."""
    intents = [
        ("activate", "lights", "kitchen"), ("deactivate", "lights", "bedroom"), ("bring", "shoes", "none")
    ]  # fmt: skip
    for split, count in {"train": 10, "valid": 4, "test": 4}.items():
        rows = []
        for number in range(count):
            action, thing, location = intents[number % 3]
            path = f"wavs/speakers/{split}er/{split}-{number}.wav"
            tone(folder / path, 0.3 + 0.02 * number, number % 3)
            rows.append(
                {"path": path, "speakerId": split, "transcription": f"{action} {thing}"}
                | {"action": action, "object": thing, "location": location}
            )
        table(folder / "data" / f"{split}_data.csv", rows)
    return {
        "datarc": {
            "file_path": str(folder), "num_workers": 1, "train_batch_size": 2, "eval_batch_size": 2
        },
        "modelrc": utterance_classifier(),
    }  # fmt: skip


def voxceleb1(folder: Path) -> dict:
    """VoxCeleb1: id/video/number.wav below dev/wav or test/wav, and one list that numbers the splits."""
    listed = []
    for split, count in enumerate((10, 3, 3), start=1):
        for number in range(count):
            name = f"id1000{1 + number % 3}/video{split}/{number:05d}.wav"
            tone(folder / ("test" if split == 3 else "dev") / "wav" / name, 0.4 + 0.05 * number, number % 3)
            listed.append(f"{split} {name}")
    lines(folder / "iden_split.txt", listed)
    return {
        "datarc": {
            "file_path": str(folder), "meta_data": str(folder / "iden_split.txt"),
            "max_timestep": RATE // 2,  # most training files are longer: random crops
            "num_workers": 1, "train_batch_size": 2, "eval_batch_size": 1,
        },
        "modelrc": utterance_classifier(),
    }  # fmt: skip


def librispeech_phones(folder: Path) -> dict:
    """LibriSpeech with a label every 10 ms, lists of the splits, and a table of lengths."""
    rows, labels, names = [], [], []
    for number in range(26):
        name = f"{100 + number % 3}-7-{number:04d}"
        path = f"train-clean-100/{100 + number % 3}/7/{name}.flac"
        samples = tone(folder / path, 0.2 + 0.01 * number, number % 5)
        rows.append({"file_path": path, "length": samples, "label": ""})
        labels.append(" ".join([name, *[str(number % 5)] * (samples // FRAME)]))
        names.append(name)
    lines(folder / "phones" / "converted_aligned_phones.txt", labels)
    random.Random(0).shuffle(names)
    lines(folder / "phones" / "train_split.txt", names[:20])
    lines(folder / "phones" / "test_split.txt", names[20:])
    table(folder / "len_for_bucket" / "train-clean-100.csv", rows)
    return {
        "datarc": {
            "libri_root": str(folder), "phone_path": str(folder / "phones"),
            "bucket_file": str(folder / "len_for_bucket"), "sample_rate": RATE, "train_dev_seed": 1337,
            "num_workers": 1, "train_batch_size": 4, "eval_batch_size": 2,
        },
        "modelrc": {},
    }  # fmt: skip


def libri2mix(folder: Path) -> dict:
    """Libri2Mix for diarization: a Kaldi folder for every split, with two speakers who overlap."""
    for split, count in {"train": 5, "dev": 2, "test": 2}.items():
        kaldi, files = folder / split, {"wav.scp": [], "reco2dur": [], "segments": [], "utt2spk": []}
        spoken = []
        for number in range(count):
            recording, seconds = f"{split}{number}", 1.3 + 0.1 * number
            tone(kaldi / "wav" / f"{recording}.wav", seconds, number)
            files["wav.scp"].append(f"{recording} {kaldi / 'wav' / recording}.wav")
            files["reco2dur"].append(f"{recording} {seconds}")
            for speaker, (start, stop) in {"anna": (0.1, 0.7), "ben": (0.5, 1.2)}.items():
                utterance = f"{speaker}_{recording}"
                files["segments"].append(f"{utterance} {recording} {start} {stop}")
                files["utt2spk"].append(f"{utterance} {speaker}")
                spoken.append(f"{speaker} {utterance}")
        for name, content in {**files, "spk2utt": spoken}.items():
            lines(kaldi / name, content)
    return {
        "datarc": {
            "num_speakers": 2, "rate": RATE, "chunk_size": 100, "subsampling": 1, "label_delay": 0,
            "use_last_samples": True,
        },
        "loaderrc": {
            "num_workers": 1, "train_batchsize": 2, "eval_batchsize": 1,
            **{f"{split}_dir": str(folder / split) for split in ("train", "dev", "test")},
        },
        "modelrc": {"rnn_layers": 1, "hidden_size": 8},
        "scorerc": {"save_predictions": True},
    }  # fmt: skip


def cmu_mosei(folder: Path) -> dict:
    """CMU-MOSEI: segments in a folder for every split, and one CSV of sentiments that numbers the splits."""
    rows = []
    for number, (split, count) in enumerate({"train": 10, "dev": 4, "test": 4}.items()):
        for index in range(count):
            tone(folder / "Segmented_Audio" / split / f"{split}_{index}.wav", 0.3 + 0.02 * index, index % 2)
            labels = {"label2a": index % 2, "label2b": 0, "label6": 0, "label7": 0}
            rows.append({"file": split, "index": index, "split": number, **labels})
    table(folder / "CMU_MOSEI_Labels.csv", rows)
    return {
        "datarc": {
            "data_dir": str(folder), "label_path": str(folder / "CMU_MOSEI_Labels.csv"), "num_class": 2,
            "num_workers": 1, "train_batch_size": 2, "eval_batch_size": 2,
        },
        "modelrc": {"input_dim": 8},
    }  # fmt: skip


def librispeech_words(folder: Path) -> dict:
    """LibriSpeech with transcripts, and a table of lengths for every folder."""
    for split, count in {"train-clean-100": 8, "dev-clean": 4, "test-clean": 4}.items():
        rows, texts = [], []
        for number in range(count):
            name = f"100-7-{number:04d}"
            path = f"{split}/100/7/{name}.flac"
            samples = tone(folder / path, 0.5 + 0.05 * number, number % 3)
            rows.append({"file_path": path, "length": samples, "label": ""})
            texts.append(f"{name} {['AB', 'BA', 'CAB'][number % 3]}")
        lines(folder / split / "100" / "7" / "100-7.trans.txt", texts)
        table(folder / "len_for_bucket" / f"{split}.csv", rows)
    lines(folder / "char.dict", [f"{letter} 1" for letter in "|ABC"])
    return {
        "datarc": {
            "train": ["train-clean-100"], "dev": ["dev-clean"], "test": ["test-clean"],
            "libri_root": str(folder), "bucket_file": str(folder / "len_for_bucket"),
            "dict_path": str(folder / "char.dict"), "zero_infinity": True,
            "decoder_args": {"decoder_type": "None"},
            "num_workers": 1, "batch_size": 2, "eval_batch_size": 2,
        },
        "modelrc": {
            "project_dim": 8, "select": "RNNs",
            "RNNs": {
                "total_rate": -1, "module": "LSTM", "bidirection": True, "dim": [8], "dropout": [0.2],
                "layer_norm": [False], "proj": [False], "sample_rate": [1], "sample_style": "concat",
            },
        },
    }  # fmt: skip
