"""Speakers that are sounds of a pitch each, in the layouts of VoxCeleb1 and LibriSpeech: small, learnable."""

import numpy as np
import soundfile

RATE = 16000
HOMES = {"id10001": "dev", "id10003": "dev", "id10270": "test", "id11251": "dev"}
VIDEOS = {"-AbC_d1eF2g": "1", "0train_seco": "1", "zdevelopmen": "2", "Ztest-video": "3"}
NUMBERS = {"1": (1, 2, 12), "2": (7,), "3": (3, 4)}  # of the utterances in a video of each part


def sing(path, speaker, seconds, rng):
    """A warbling sound of six partials, whose pitch says who sings, of the speakers 0, 1, 2, ..."""
    time = np.arange(round(RATE * seconds)) / RATE
    phase = 2 * np.pi * 200 * 1.3**speaker * time + 2 * np.sin(2 * np.pi * 9 * time)
    tone = sum(np.sin(partial * phase) / partial for partial in range(1, 7)) * rng.uniform(0.1, 0.2)
    tone[len(time) // 3 : len(time) // 2] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone + rng.normal(0, 0.005, len(time)), RATE)


def make_celebrities(root):
    """VoxCeleb1 with four speakers, three videos each: 24 training recordings, 4 of dev, 8 of test."""
    rng, lines = np.random.default_rng(0), []
    for speaker, (identity, home) in enumerate(HOMES.items()):
        for video, part in VIDEOS.items():
            for number in NUMBERS[part]:
                name = f"{identity}/{video}/{number:05d}.wav"
                sing(root / home / "wav" / name, speaker, rng.uniform(0.25, 0.45), rng)
                lines.append(f"{part} {name}\n")
    (root / "iden_split.txt").write_text("".join(lines))
    (root / "vox1_meta.csv").write_text("VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n")
    sing(root / "dev/wav/id10001/-AbC_d1eF2g/99999.wav", 3, 0.1, rng)  # in no list
    return root


def make_readers(root, speakers=("19", "103", "26"), utterances=10):
    """train-clean-100, and lists/ of its utterances: four fifths for training, the rest for tests."""
    rng, ids = np.random.default_rng(0), {"train": [], "test": []}
    for number, speaker in enumerate(speakers):
        for index in range(utterances):
            name = f"{speaker}-7-{index:04d}"
            path = root / "train-clean-100" / speaker / "7" / f"{name}.flac"
            sing(path, number, rng.uniform(0.2, 0.4), rng)
            ids["test" if index % 5 == 4 else "train"].append(name)
    (root / "lists").mkdir()
    for kind, names in ids.items():
        (root / "lists" / f"{kind}_split.txt").write_text("".join(f"{name}\n" for name in names))
    return root
