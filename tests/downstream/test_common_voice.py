"""Common Voice as a user meets it: a folder of mp3 files with tables, in any language."""

import random

import numpy as np
import pytest
import soundfile
from conftest import metrics

from s3prl.downstream.common.corpora import common_voice
from s3prl.downstream.ctc.corpora import corpus_of
from s3prl.utility.config import load_yaml
from s3prl.utility.errors import UserError
from s3prl.utility.paths import ROOT

LETTERS = "ñéas"
RATE = 32000


def say(path, sentence):
    """A tone for each letter, as mp3."""
    time = np.arange(RATE // 20) / RATE
    tones = [
        0.3 * np.sin(2 * np.pi * 300 * (1 + (LETTERS + " ").index(letter)) * time) for letter in sentence
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.concatenate(tones), RATE, format="MP3")


def make_language(root, sizes):
    rng = random.Random(0)
    for split, size in sizes.items():
        lines = ["client_id\tpath\tsentence\tup_votes\n"]
        for index in range(size):
            sentence = " ".join("".join(rng.choices(LETTERS, k=rng.randint(1, 3))) for _ in range(2))
            say(root / f"clips/common_voice_es_{split}{index}.mp3", sentence)
            lines.append(f"someone\tcommon_voice_es_{split}{index}.mp3\t¿{sentence}?\t2\n")
        (root / f"{split}.tsv").write_text("".join(lines))
    return root


def corpus_at(root, **fields):
    block = {"name": "common_voice", "path": str(root), "train": ["train"], "test": ["test"], **fields}
    return corpus_of(block)


@pytest.fixture(scope="module")
def language(tmp_path_factory):
    return make_language(tmp_path_factory.mktemp("CommonVoice") / "es", {"train": 12, "dev": 2, "test": 3})


def write_table(root, text, name="train"):
    (root / "clips").mkdir(parents=True, exist_ok=True)
    (root / f"{name}.tsv").write_text(text, encoding="utf-8")
    return root


def test_items_are_the_rows_of_the_tables_with_the_longest_sentence_first(tmp_path):
    root = write_table(
        tmp_path, 'client_id\tpath\tsentence\na\tone.mp3\tSí.\nb\ttwo.mp3\t"¿Qué tal?", dijo\n'
    )
    write_table(root, "path\tsentence\nthree\t你好！\n", "other")
    found = corpus_at(root, train=["train", "other"]).items("train")
    assert [(item.name, item.label) for item in found] == [
        ("two", "QUÉ TAL DIJO"), ("one", "SÍ"), ("three", "你好")
    ]  # fmt: skip
    assert found[2].recording.path == str(root / "clips/three.mp3"), "the first releases leave .mp3 out"
    (plain, *_) = corpus_at(root, normalize=False).items("train")
    assert plain.label == '"¿Qué tal?", dijo'


@pytest.mark.parametrize(
    ("sentence", "written"),
    [
        ("L’eau, c'est  «bon»!", "L'EAU C'EST BON"),
        ("'a well-known' dog", "A WELL KNOWN DOG"),
        ("ﻢﺤﻣﺩ؟ مَدرسة", "ﻢﺤﻣﺩ مَدرسة"),
        ("e\u0301te\u0301", "ÉTÉ"),
        ("...", ""),
    ],
)
def test_sentences_are_normalised_in_any_script(sentence, written):
    assert common_voice.normalized(sentence) == written


def test_training_takes_its_characters_from_the_transcripts_and_evaluation_needs_no_training_data(
    language, downstream, tmp_path, capsys
):
    config = tmp_path / "es.yaml"
    config.write_text((ROOT / "downstream/ctc/common_voice.yaml").read_text())
    assert load_yaml(config, expand=False)["downstream_expert"]["metric"] == ["cer", "wer"]
    model, corpus = "config.downstream_expert.model", "config.downstream_expert.corpus"
    options = [
        f"{corpus}.path='{language}'", f"{corpus}.num_workers=0", f"{model}.project_dim=8",
        f"{model}.RNNs.dim=[8, 8]", "config.runner.total_steps=2", "config.runner.log_step=1",
        "config.runner.eval_step=2", "config.runner.save_step=2",
    ]  # fmt: skip
    run = ("-m", "train", "-u", "fbank", "-d", "ctc", "-c", config, "-p", "run", "-o", ",,".join(options))
    assert downstream(*run) == 0
    kept = (tmp_path / "run/vocabulary.txt").read_text().split("\n")
    assert kept[:-1] == [" ", "A", "S", "É", "Ñ"]
    assert {"cer", "wer"} <= metrics(tmp_path / "run")[-1].keys()
    (language / "train.tsv").rename(language / "gone.tsv")
    try:
        capsys.readouterr()
        assert downstream("-m", "evaluate", "-e", "run/dev-best.ckpt") == 0
        assert "test cer: " in capsys.readouterr().out
        assert len((tmp_path / "run/test-ref.ark").read_text().splitlines()) == 3
        (tmp_path / "run/vocabulary.txt").unlink()
        assert downstream("-m", "evaluate", "-e", "run/dev-best.ckpt") == 2
        error = capsys.readouterr().err
        assert "vocabulary.txt" in error and "It has no train.tsv" in error
    finally:
        (language / "gone.tsv").rename(language / "train.tsv")


def test_what_is_missing_is_named_with_the_page_and_the_field(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\. That folder .*commonvoice\.mozilla.*corpus\.path"):
        corpus_at(tmp_path / "nowhere").items("train")
    root = write_table(tmp_path / "es", "path\tsentance\na.mp3\tsí\n")
    with pytest.raises(UserError, match=r"train\.tsv has no column 'sentence'\. Did you mean 'sentance'"):
        corpus_at(root).items("train")
    with pytest.raises(UserError, match=r"It has no test\.tsv; its tables are: train"):
        corpus_at(root).items("test")
    (root / "clips").rmdir()
    with pytest.raises(UserError, match="It has no folder clips"):
        corpus_at(root).items("train")
