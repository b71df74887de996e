"""Metrics are those of public scorers, on random inputs: scikit-learn for classes, jiwer for texts."""

import random
from collections import defaultdict

import jiwer
import numpy as np
import pytest
import torch
from sklearn import metrics
from tones import Scalars, read_ark

from s3prl.downstream.common.confusion import confusion_matrix
from s3prl.downstream.common.dataset import LoaderSettings
from s3prl.downstream.common.error_rate import edits, error_rate
from s3prl.downstream.common.frame import FrameTask
from s3prl.downstream.common.items import Item
from s3prl.downstream.common.metrics.classification import macro_f1
from s3prl.downstream.common.transcripts import error_rates, score_units, write_texts
from s3prl.downstream.common.utterance import UtteranceTask
from s3prl.utility.recordings import Recording

CLASSES = ["no", "stop", "yes", "_silence_", "go"]
DIM = 6


class Words(UtteranceTask):
    name = "words"


class Phones(FrameTask):
    name = "phones"


@pytest.fixture(autouse=True)
def the_same_every_time():
    torch.manual_seed(1)


def evaluate(task, labels):
    """What is logged of a random model on random features, an utterance for each label."""
    items = [Item(f"u{number}", Recording(f"u{number}.wav"), label) for number, label in enumerate(labels)]
    features = [10 * torch.randn(7, DIM) for _ in items]
    records, scalars = defaultdict(list), Scalars()
    task.eval()
    with torch.no_grad():
        for part in (slice(0, 30), slice(30, None)):  # two batches
            targets = [task.target(item) for item in items[part]]
            task("test", features[part], targets, items[part], records=records)
    task.log_records("test", records=records, logger=scalars, global_step=1)
    return {name.removeprefix(f"{task.name}/test-"): value for name, value in scalars.items()}


def column(path):
    """Everything behind the names of a prediction file."""
    return [label for line in path.read_text().splitlines() for label in line.split()[1:]]


def test_accuracy_and_macro_f1_of_utterances_are_those_of_scikit_learn_on_the_prediction_files(tmp_path):
    rng = random.Random(0)
    modelrc = {"projector_dim": 4, "select": "UtteranceLevel"}
    task = Words(DIM, CLASSES, LoaderSettings(4), modelrc, expdir=str(tmp_path))
    logged = evaluate(task, [rng.choice(CLASSES) for _ in range(101)])
    truth, predicted = column(tmp_path / "test_truth.txt"), column(tmp_path / "test_predict.txt")
    assert len(truth) == 101 and len(set(predicted)) > 1
    assert logged["acc"] == pytest.approx(metrics.accuracy_score(truth, predicted))
    matrix = confusion_matrix(
        *([CLASSES.index(label) for label in labels] for labels in (truth, predicted)), 5
    )
    assert macro_f1(matrix) == pytest.approx(metrics.f1_score(truth, predicted, average="macro"))


def test_the_accuracy_of_frames_is_that_of_scikit_learn_without_those_that_do_not_count(tmp_path):
    rng = np.random.default_rng(0)
    task = Phones(DIM, 160, CLASSES, LoaderSettings(4), {"select": "FrameLevel"}, expdir=str(tmp_path))
    logged = evaluate(task, [rng.choice([*range(5), -100], size=rng.integers(4, 10)) for _ in range(53)])
    truth, predicted = column(tmp_path / "test_truth.txt"), column(tmp_path / "test_predict.txt")
    counted = [(one, other) for one, other in zip(truth, predicted, strict=True) if one != "-"]
    assert 0 < len(counted) < len(truth)
    assert logged["acc"] == pytest.approx(metrics.accuracy_score(*zip(*counted, strict=True)))


def test_the_confusion_matrix_is_that_of_scikit_learn_also_with_classes_that_never_occur():
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 6, 500), rng.integers(1, 7, 500)
    expected = metrics.confusion_matrix(truth, predicted, labels=range(8))
    assert np.array_equal(confusion_matrix(truth, predicted, 8), expected)


def texts(rng, count):
    """Pairs of a text and what might be recognised for it, which may be nothing."""
    for _ in range(count):
        words = ["".join(rng.choices("ABCD'", k=rng.randint(1, 4))) for _ in range(rng.randint(1, 8))]
        found = [word for word in words if rng.random() < 0.8]
        for _ in range(rng.randint(0, 3)):
            found.insert(rng.randint(0, len(found)), rng.choice(["A", "BAD", "CAB"]))
        yield " ".join(words), " ".join(found if rng.random() < 0.9 else [])


def test_word_and_character_error_rates_of_a_split_are_those_of_jiwer(tmp_path):
    records = defaultdict(list)
    for number, (reference, hypothesis) in enumerate(texts(random.Random(0), 200)):
        units = list(hypothesis.replace(" ", "|"))
        records["name"].append(f"u{number}")
        records["ref"].append(reference)
        records["hyp"].append(score_units(reference, units, records))
    write_texts(tmp_path, "test", records)
    references, hypotheses = (
        list(read_ark(tmp_path / f"test-noLM-{kind}.ark").values()) for kind in ("ref", "hyp")
    )
    assert "" in hypotheses
    rates = error_rates(records)
    assert rates["wer"] == pytest.approx(100 * jiwer.wer(references, hypotheses))
    assert rates["cer"] == pytest.approx(100 * jiwer.cer(references, hypotheses))
    assert 20 < rates["wer"] < 100


def test_the_error_rate_of_phones_is_the_word_error_rate_that_jiwer_gives_them():
    rng = random.Random(1)
    phones = ["AA1", "AH0", "B", "S", "SIL"]
    pairs = [[rng.choices(phones, k=rng.randint(1, 12)) for _ in "rh"] for _ in range(200)]
    rate = error_rate([edits(*pair) for pair in pairs], [len(reference) for reference, _ in pairs])
    references, hypotheses = ([" ".join(side) for side in sides] for sides in zip(*pairs, strict=True))
    assert rate == pytest.approx(100 * jiwer.wer(references, hypotheses))
