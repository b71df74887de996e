"""Error rates of texts, compared with jiwer."""

import random

import pytest

from s3prl.downstream.common.metrics.text import METRICS, cer, per, wer

jiwer = pytest.importorskip("jiwer", reason="pip install -r requirements-dev.txt")
WORDS = ("HELLO", "YOU", "A", "NAÏVE", "IT'S", "AH0", "SIL")


def misheard(word, rng):
    """The word, another one, none or two."""
    return rng.choice((word, word, rng.choice(WORDS), "", f"{word} {word}"))


def texts(seed, count=40):
    """References with one word at least, and hypotheses that resemble them."""
    rng = random.Random(seed)
    references = [" ".join(rng.choices(WORDS, k=rng.randint(1, 8))) for _ in range(count)]
    heard = [" ".join(misheard(word, rng) for word in text.split()) for text in references]
    return references, [" ".join(text.split()) for text in heard]


@pytest.mark.parametrize("seed", range(5))
def test_error_rates_of_random_texts_are_those_of_jiwer(seed):
    references, hypotheses = texts(seed)
    assert wer(references, hypotheses) == pytest.approx(jiwer.wer(references, hypotheses), abs=1e-12)
    assert per(references, hypotheses) == wer(references, hypotheses)
    assert cer(references, hypotheses) == pytest.approx(jiwer.cer(references, hypotheses), abs=1e-12)


def test_rates_are_fractions_of_the_reference_length_over_all_utterances():
    assert wer(["A B C D", "E"], ["A B X D", "E F"]) == 2 / 5
    assert cer(["AB CD"], ["ABCD"]) == 1 / 5, "the blank between words is a character"
    assert wer(["A"], ["A B C"]) == 2
    assert wer([""], [""]) == 0 and wer([""], ["A"]) == float("inf")


def test_of_every_metric_it_is_known_which_way_is_better():
    assert {name: metric.lower_is_better for name, metric in METRICS.items()}.items() >= {
        "wer": True, "cer": True, "per": True
    }.items()  # fmt: skip
