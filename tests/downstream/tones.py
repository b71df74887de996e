"""A corpus in LibriSpeech's layout whose speech is tones, one pitch per letter: small, yet learnable."""

import random
from collections import defaultdict
from itertools import islice

import numpy as np
import soundfile
import torch

from s3prl.downstream.asr.expert import DownstreamExpert
from s3prl.training.plan import Shard
from s3prl.training.sampling import evaluation_batches, training_batches
from s3prl.utility.bad_audio import ReadRecordings
from s3prl.utility.config import load_yaml
from s3prl.utility.paths import ROOT

RATE = 16000
LETTER = 480  # samples
LETTERS = "ABCDEF"
FRAME = 160  # samples per feature frame
DIM = FRAME // 2 + 1


def speak(text):
    """A tone for every letter, a pause between words, and a little noise: float32 [samples]."""
    noise = np.random.default_rng(len(text)).normal(0, 1e-3, LETTER * len(text))
    time = np.arange(LETTER) / RATE
    letters = [
        np.zeros(LETTER) if letter == " " else 0.3 * np.sin(2 * np.pi * 500 * (1 + ord(letter) - 65) * time)
        for letter in text
    ]
    return (np.concatenate(letters) + noise).astype(np.float32)


def features_of(wavs):
    """Log magnitudes of frames without overlap, roughly between -1 and 2: list of [frames, DIM]."""
    frames = [torch.as_tensor(wav)[: len(wav) // FRAME * FRAME].reshape(-1, FRAME) for wav in wavs]
    return [((torch.fft.rfft(frame).abs() + 1e-3).log() + 4) / 3 for frame in frames]


def sentence(rng):
    """Two to four words of one to four letters, no letter twice in a row."""
    words = ["".join(rng.sample(LETTERS, rng.randint(1, 4))) for _ in range(rng.randint(2, 4))]
    return " ".join(words)


def make_corpus(root, splits, seed=0):
    """Write `splits` (folder -> number of utterances, or list of texts), two speakers each."""
    rng = random.Random(seed)
    for number, (split, texts) in enumerate(splits.items()):
        texts = [sentence(rng) for _ in range(texts)] if isinstance(texts, int) else texts
        for half in (0, 1):
            chapter = root / split / str(10 * number + half) / "7"
            chapter.mkdir(parents=True)
            lines = []
            for index, text in enumerate(texts[half::2]):
                name = f"{10 * number + half}-7-{index:04d}"
                soundfile.write(chapter / f"{name}.flac", speak(text), RATE)
                lines.append(f"{name} {text}\n")
            (chapter / f"{10 * number + half}-7.trans.txt").write_text("".join(lines))
    return root


def make_config(root, **datarc):
    """The shipped config with a small model and the corpus at `root`."""
    block = load_yaml(ROOT / "downstream/asr/config.yaml")["downstream_expert"]
    block["datarc"].update(
        libri_root=str(root), bucket_file=str(root.parent / "len_for_bucket"), num_workers=0
    )
    block["datarc"].update(train_batch_size=8, **datarc)
    block["modelrc"]["project_dim"] = 64
    block["modelrc"]["RNNs"].update(dim=[64], dropout=[0], layer_norm=[False], proj=[False], sample_rate=[1])
    return block


def build(block, expdir, **options):
    """An expert with fixed initial weights."""
    torch.manual_seed(0)
    return DownstreamExpert(DIM, FRAME, downstream_expert=block, expdir=str(expdir), seed=1, **options)


class Scalars(dict):
    """Stands in for the runner's logger."""

    def add_scalar(self, name, value, global_step):
        self[name] = value

    def add_line(self, line):
        """A line of log.log."""


def train(expert, steps):
    """Plain training; returns what was recorded."""
    optimizer = torch.optim.Adam(expert.parameters(), lr=1e-2)
    records = defaultdict(list)
    batches = training_batches(expert.get_dataloader("train"), 1, 0, 0, Shard(), ReadRecordings())
    expert.train()
    for loaded in islice(batches, steps):
        wavs, *others = loaded.batch
        loss = expert("train", features_of(wavs), *others, records=records)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(expert.parameters(), 1)
        optimizer.step()
    return records


def batches(expert, split):
    """The batches `(wavs, *others)` of an evaluation split, as the runner would hand them out."""
    _, found = evaluation_batches(expert.get_dataloader(split), 1, Shard(), prepare=ReadRecordings())
    return (loaded.batch for loaded in found)


def evaluate(expert, split, step=0):
    """Names of checkpoints to save, and the logged figures without `asr/<split>-`."""
    expert.eval()
    records, scalars = defaultdict(list), Scalars()
    with torch.no_grad():
        for number, (wavs, *others) in enumerate(batches(expert, split)):
            expert(split, features_of(wavs), *others, records=records, batch_id=number)
    names = expert.log_records(split, records=records, logger=scalars, global_step=step, batch_ids=[0])
    return names, {name.removeprefix(f"asr/{split}-"): value for name, value in scalars.items()}


def read_ark(path):
    """Utterance -> text."""
    return dict(line.rstrip("\n").partition(" ")[::2] for line in path.read_text().splitlines())
