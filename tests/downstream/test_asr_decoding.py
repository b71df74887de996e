"""Beam search with a language model: when it may be used, and that it changes decisions as it should."""

import importlib.util

import pytest
import torch
from tones import build, evaluate, features_of, make_config, make_corpus, read_ark

from s3prl.downstream.common.beam_search import BeamSearchDecoder, DecoderOptions
from s3prl.downstream.common.characters import CharacterDictionary, words_of
from s3prl.downstream.common.ctc import greedy_decode
from s3prl.utility.errors import UserError
from s3prl.utility.paths import ROOT

installed = importlib.util.find_spec("flashlight") is not None
needs_library = pytest.mark.skipif(not installed, reason="pip install -r requirements-lm.txt")

WORDS = ("I", "SEE", "SEA", "THE")


def write_language_model(folder, bigrams):
    """A bigram model by hand: the given pairs are likely, all else backs off; and the lexicon."""
    unigrams = ["-1.0\t<unk>", "-99\t<s>\t-0.5", "-1.0\t</s>", *(f"-1.0\t{word}\t-0.5" for word in WORDS)]
    pairs = [f"-0.1\t{pair}" for pair in bigrams]
    lines = ["\\data\\", f"ngram 1={len(unigrams)}", f"ngram 2={len(pairs)}", ""]
    lines += ["\\1-grams:", *unigrams, "", "\\2-grams:", *pairs, "", "\\end\\", ""]
    (folder / "lm.arpa").write_text("\n".join(lines))
    (folder / "lexicon.lst").write_text("".join(f"{word}\t{' '.join(word)} |\n" for word in WORDS))
    return {
        "decoder_type": "kenlm",
        "kenlm_model": str(folder / "lm.arpa"),
        "lexicon": str(folder / "lexicon.lst"),
        "beam": 20,
    }


@pytest.fixture
def dictionary():
    return CharacterDictionary.from_file(ROOT / "downstream/asr/char.dict")


@pytest.fixture
def ambiguous(dictionary):
    """Scores that hear I SEA THE SEA, with an E almost as likely in place of each A: [frames, symbols]."""
    spelling = "I|SE?|THE|SE?|"
    probabilities = torch.full((2 * len(spelling), len(dictionary)), 1e-4)
    for position, symbol in enumerate(spelling):
        probabilities[2 * position + 1, dictionary.blank] = 1
        if symbol == "?":
            probabilities[2 * position, dictionary.index("A")] = 0.55
            probabilities[2 * position, dictionary.index("E")] = 0.45
        else:
            probabilities[2 * position, dictionary.index(symbol)] = 1
    return (probabilities / probabilities.sum(1, keepdim=True)).log()


@needs_library
@pytest.mark.parametrize(
    ("bigrams", "text"),
    [
        (["<s> I", "I SEE", "SEE THE", "THE SEA"], "I SEE THE SEA"),
        (["<s> I", "I SEA", "SEA THE", "THE SEE"], "I SEA THE SEE"),
    ],
)
def test_the_language_model_decides_between_words_that_sound_alike(
    bigrams, text, dictionary, ambiguous, tmp_path
):
    greedy = greedy_decode(ambiguous[None], [len(ambiguous)])[0]
    assert words_of(dictionary.units(greedy)) == ["I", "SEA", "THE", "SEA"]
    block = write_language_model(tmp_path, bigrams)
    decoder = BeamSearchDecoder(DecoderOptions.from_config({**block, "nbest": 3}), dictionary)
    (best, score), *others = decoder.decode(ambiguous)
    assert best == text
    assert len(others) == 2 and all(score >= other for _, other in others)
    unweighted = BeamSearchDecoder(DecoderOptions.from_config({**block, "lm_weight": 0}), dictionary)
    assert unweighted.decode(ambiguous)[0][0] == "I SEA THE SEA"


@needs_library
def test_evaluation_reports_both_with_and_without_language_model(tmp_path):
    root = make_corpus(tmp_path / "LibriSpeech", {"dev-clean": ["I SEE", "THE SEA", "SEE THE SEA"]})
    options = write_language_model(tmp_path, ["<s> I", "I SEE", "THE SEA"])
    block = make_config(root, decoder_args={**options, "nbest": 2})
    expert = build(block, tmp_path / "exp")
    names, figures = evaluate(expert, "dev-clean")
    assert {"wer", "cer", "uer", "lm-wer", "lm-cer"} <= set(figures)
    texts = {
        kind: read_ark(tmp_path / f"exp/dev-clean-{kind}.ark") for kind in ("LM-hyp", "LM-ref", "noLM-ref")
    }
    assert texts["LM-ref"] == texts["noLM-ref"]
    assert set("".join(texts["LM-hyp"].values()).split()) <= set(WORDS)
    assert set(read_ark(tmp_path / "exp/dev-clean-LM-nbest.ark")) >= {
        f"{name}-001" for name in texts["LM-ref"]
    }
    assert names == ["dev-best.ckpt", "dev-clean-best.ckpt"]
    heard = expert.inference(features_of([torch.zeros(8000)]), ["silence"])
    assert set(heard[0].split()) <= set(WORDS)


@needs_library
def test_a_lexicon_that_cannot_be_spelt_names_the_line(dictionary, tmp_path):
    options = DecoderOptions.from_config(write_language_model(tmp_path, ["<s> I"]))
    for line, problem in (("CAFÉ C A F É |", "É"), ("ALONE", "no spelling")):
        (tmp_path / "lexicon.lst").write_text(f"I I |\n{line}\n")
        with pytest.raises(UserError, match=f"Line 2 .*{problem}"):
            BeamSearchDecoder(options, dictionary)


def test_without_the_library_the_message_says_what_to_install(tmp_path, monkeypatch):
    block = write_language_model(tmp_path, ["<s> I"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install -r requirements-lm\.txt"):
        DecoderOptions.from_config(block)
    assert (ROOT / "requirements-lm.txt").read_text().count("flashlight-text") == 1


def test_missing_files_of_the_language_model_are_named(tmp_path, monkeypatch):
    block = write_language_model(tmp_path, ["<s> I"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    for field in ("kenlm_model", "lexicon"):
        for value in (None, str(tmp_path / "absent")):
            with pytest.raises(UserError, match=rf"decoder_args\.{field} .*needs it"):
                DecoderOptions.from_config({**block, field: value})


@pytest.mark.parametrize("kind", [None, "None", "viterbi"])
def test_greedy_decoding_needs_neither_library_nor_files(kind):
    options = DecoderOptions.from_config({"decoder_type": kind, "unk_weight": "-inf"})
    assert not options.uses_language_model
    assert options.unk_weight == float("-inf")


def test_a_number_that_is_none_is_refused():
    with pytest.raises(UserError, match="lm_weight"):
        DecoderOptions.from_config({"lm_weight": "two"})
