"""QUESST 2014 in miniature whose words are chirps: queries and documents in two languages, ground truth."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE = 8000  # as in the real corpus
WORDS = {"up": (300, 900), "down": (1500, 500), "high": (2200, 2600), "deep": (200, 120), "arch": (700, 2000)}
DOCUMENTS = [
    ("nnenglish", "up down"),
    ("nnenglish", "down high up"),
    ("czech", "up deep"),
    ("nnenglish", "deep high"),
    ("nnenglish", "high deep down"),
    ("nnenglish", "up"),
]
QUERIES = {
    "dev": [("nnenglish", "up"), ("nnenglish", "high deep"), ("czech", "deep"), ("nnenglish", "click")],
    "eval": [("nnenglish", "down"), ("nnenglish", "deep"), ("nnenglish", "arch")],
}
FOLDERS = {"dev": "dev_queries", "eval": "eval_queries", "utterances": "Audio"}


def say(path, text, rng):
    """A chirp for every word, a pause behind each; a click is too short to be searched."""
    parts = []
    for word in text.split():
        if word == "click":
            parts.append(rng.normal(0, 0.1, int(0.05 * RATE)))
            continue
        low, high = WORDS[word]
        time = np.arange(int(RATE * rng.uniform(0.13, 0.17))) / RATE
        phase = 2 * np.pi * (low + (high - low) * time / time[-1] / 2) * time
        parts += [0.3 * np.sin(phase), np.zeros(int(0.03 * RATE))]
    wave = np.concatenate(parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave + rng.normal(0, 0.003, len(wave)), RATE)


def make_quesst(root, seed=0):
    """The corpus below `root`; official ground truths, and `same_voice` with every other query."""
    rng = np.random.default_rng(seed)
    parts = {"utterances": DOCUMENTS, **QUERIES}
    for part, spoken in parts.items():
        lines = []
        for number, (language, text) in enumerate(spoken, 1):
            path = f"{FOLDERS[part]}/{name_of(part, number)}.wav"
            say(root / path, text, rng)
            lines.append(f"quesst14Database/{path} {language}\n")
        (root / "scoring").mkdir(exist_ok=True)
        (root / f"scoring/language_key_{part}.lst").write_text("".join(lines))
    for part, spoken in QUERIES.items():
        numbers = range(1, len(spoken) + 1)
        _write_truth(root / f"scoring/groundtruth_quesst14_{part}", part, numbers)
        _write_truth(root / f"scoring/groundtruth_quesst14_{part}_same_voice", part, numbers[::2])
    return root


def name_of(part, number):
    """What a recording is called; numbers begin at 1."""
    return f"quesst14_{number:05d}" if part == "utterances" else f"quesst14_{part}_{number:04d}"


def english(part):
    """The recordings of a part in the default language."""
    spoken = enumerate(DOCUMENTS if part == "utterances" else QUERIES[part], 1)
    return [name_of(part, number) for number, (language, _) in spoken if language == "nnenglish"]


@pytest.fixture(scope="module", name="shared")
def shared_corpus(tmp_path_factory):
    """A corpus for all tests of a file."""
    return make_quesst(tmp_path_factory.mktemp("spoken") / "quesst14Database")


@pytest.fixture(name="own")
def own_corpus(shared, tmp_path):
    """A corpus that a test may change."""
    return Path(shutil.copytree(shared, tmp_path / "own" / "quesst14Database"))


@pytest.fixture(name="evaluate")
def evaluate_corpus(downstream, shared):
    """A function that runs `-m evaluate`; its keywords are fields of the config, with __ for a dot."""

    def run(name, *arguments, upstream="fbank", split="test", root=shared, **fields):
        fields = {"datarc__dataset_root": str(root), "datarc__num_workers": 0, "max_workers": 1} | fields
        named = {field.replace("__", "."): value for field, value in fields.items()}
        override = ",,".join(f"config.downstream_expert.{field}={value!r}" for field, value in named.items())
        options = ["-u", upstream, "-d", "quesst14_dtw", "-n", name, "-o", override]
        return downstream("-m", "evaluate", "-t", split, *options, *arguments)

    return run


def expdir(name):
    """Where the results of an evaluation are."""
    return Path("result/downstream") / name


def _write_truth(folder, part, numbers):
    folder.mkdir()
    documents = [name_of("utterances", number) for number in range(1, len(DOCUMENTS) + 1)]
    excerpts = "".join(f'<excerpt audio_filename="Audio/{name}.wav" channel="1"/>' for name in documents)
    (folder / "quesst14.ecf.xml").write_text(f"<ecf>{excerpts}</ecf>")
    terms = "".join(
        f'<term termid="{name_of(part, n)}"><termtext>{name_of(part, n)}</termtext></term>' for n in numbers
    )
    (folder / "quesst14.tlist.xml").write_text(f"<termlist>{terms}</termlist>")
    lines = [
        f"LEXEME {document} 1 0.0 0.1 {name_of(part, number)} lex <NA> <NA>\n"
        for number in numbers
        for document, (_, text) in zip(documents, DOCUMENTS, strict=True)
        if QUERIES[part][number - 1][1] in text
    ]
    (folder / "quesst14.rttm").write_text("".join(lines))
