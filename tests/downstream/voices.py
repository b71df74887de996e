"""Speakers that are sounds of a pitch each, in the layouts of VoxCeleb1 and LibriSpeech: small, learnable."""

from itertools import combinations, product

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


def make_strangers(root, seconds=(0.3, 0.5)):
    """VoxCeleb1 for verification: six speakers in dev/wav, two of them for validation, three in test/wav.

    Two videos of three recordings each. The trials are all pairs of two videos of one speaker and, in turns,
    as many of two speakers: 54.
    """
    rng, homes = np.random.default_rng(0), {"dev": range(10001, 10007), "test": range(10270, 10273)}
    files = {"dev": [], "test": []}
    for home, numbers in homes.items():
        for number in numbers:
            for video, index in product("ab", range(1, 4)):
                name = f"id{number}/video_{video}/{index:05d}.wav"
                sing(root / home / "wav" / name, number % 10, rng.uniform(*seconds), rng)
                files[home].append(name)
    pairs = list(combinations(files["test"], 2))
    of_one = [(one, two) for one, two in pairs if one[:7] == two[:7] and one[:15] != two[:15]]
    of_two = [pair for pair in pairs if pair[0][:7] != pair[1][:7]][:: len(pairs) // 60]
    lines = [f"1 {' '.join(one)}\n0 {' '.join(two)}\n" for one, two in zip(of_one, of_two, strict=False)]
    (root / "voxceleb1_test_v2.txt").write_text("".join(lines))
    (root / "asv_dev_speakers.txt").write_text("id10002\nid10005\n")
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
