"""Spoken-term search: what is wrong with the config or the corpus is told before anything is computed."""

import pytest
from spoken_terms import english, evaluate_corpus, expdir, own_corpus, shared_corpus  # noqa: F401

from s3prl.downstream.common.corpora import quesst14
from s3prl.downstream.common.metrics.stdlist import read_stdlist


def test_unreadable_recordings_are_named_or_left_out(evaluate, own, capsys):
    for path in ("eval_queries/quesst14_eval_0001.wav", "Audio/quesst14_00004.wav"):
        (own / path).write_bytes(b"RIFF")
    assert evaluate("qbe", root=own) == 2
    assert "quesst14_00004.wav" in capsys.readouterr().err
    assert evaluate("qbe", "--bad_audio", "skip", root=own) == 0
    found = read_stdlist(expdir("qbe") / "benchmark.stdlist.xml")
    assert found.queries == english("eval")[1:]
    assert found.documents == [name for name in english("utterances") if name != "quesst14_00004"]


@pytest.mark.parametrize("folder, what", [("eval_queries", "queries"), ("Audio", "documents")])
def test_nothing_is_left_to_search_when_all_are_unreadable(evaluate, own, capsys, folder, what):
    for path in (own / folder).iterdir():
        path.write_bytes(b"RIFF")
    assert evaluate("qbe", "--bad_audio", "skip", root=own) == 2
    assert f"None of the {what} can be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"split": "train"}, "train is not one of dev, test, eval"),
        ({"datarc__languages": ["english"]}, "english is not in"),
        ({"datarc__languages": ["english"]}, "Did you mean 'nnenglish'?"),
        ({"datarc__languages": []}, "downstream_expert.datarc.languages is an empty list. Name some of"),
        ({"datarc__languages": ["czech"]}, "downstream_expert.datarc.languages: czech is not in"),
        ({"dtwrc__dist_method": "cosin"}, "downstream_expert.dtwrc.dist_method: cosin is not one of cosine,"),
        ({"dtwrc__dist_method": "cosine_neg_log"}, "downstream_expert.feature_normalization=False"),
        ({"dtwrc__step_pattern": "symmetric2"}, "subsequence: false"),
        ({"dtwrc__layers": [0, 3]}, "there is no layer 3. The layers are 0 to 0."),
        ({"dtwrc__layers": "first"}, "downstream_expert.dtwrc.layers: first is not one of mean, all"),
        ({"silence_frame": 240}, "a frame of this upstream has the dimensions 0 to 239"),
        ({"threshold": "nan"}, "downstream_expert.threshold must be a finite number, not nan"),
        ({"kept_features": "4Q"}, "downstream_expert.kept_features 4Q is not a size"),
    ],
)
def test_mistakes_of_the_config_are_named(evaluate, capsys, fields, message):
    assert evaluate("qbe", **fields) == 2
    assert message in capsys.readouterr().err


def test_a_missing_corpus_is_named_with_the_ways_to_get_it(evaluate, tmp_path, capsys):
    assert evaluate("qbe", root=tmp_path / "nowhere") == 2
    message = capsys.readouterr().err
    assert "nowhere" in message and quesst14.DOWNLOAD in message and "quesst14 --output data/mini" in message


@pytest.mark.parametrize(
    "path, text, message",
    [
        ("scoring/language_key_eval.lst", None, "It lacks scoring/language_key_eval.lst"),
        ("scoring/language_key_eval.lst", "", "language_key_eval.lst is empty"),
        ("scoring/language_key_eval.lst", "x/a.wav\n", "language_key_eval.lst, line 1: 'x/a.wav' is not"),
        ("scoring/language_key_eval.lst", "quesst14Database/é.wav nnenglish", "lst is not UTF-8 text"),
        ("Audio/quesst14_00004.wav", None, "1 of the 5 recordings that"),
        ("scoring/groundtruth_quesst14_eval/quesst14.rttm", "", "no query occurs in any document"),
        ("scoring/groundtruth_quesst14_eval/quesst14.tlist.xml", "<termlist>", "quesst14.tlist.xml"),
    ],
)
def test_what_is_wrong_with_the_corpus_is_told_before_anything_is_computed(
    evaluate, computed, own, capsys, path, text, message
):
    (own / path).unlink() if text is None else (own / path).write_text(text, "latin-1")
    assert evaluate("qbe", upstream="example", root=own) == 2
    assert message in capsys.readouterr().err
    assert not computed


def test_lists_with_the_line_ends_and_the_mark_of_windows_are_read(evaluate, own):
    for path in [*own.glob("scoring/*.lst"), *own.glob("scoring/*/*.rttm")]:
        path.write_text(path.read_text(), "utf-8-sig", newline="\r\n")
    assert evaluate("qbe", root=own) == 0
    found = read_stdlist(expdir("qbe") / "benchmark.stdlist.xml")
    assert found.queries == english("eval") and found.documents == english("utterances")


def test_two_recordings_of_one_name_are_refused(evaluate, own, capsys):
    with (own / "scoring/language_key_utterances.lst").open("a") as key:
        key.write("quesst14Database/dev_queries/../Audio/quesst14_00001.wav nnenglish\n")
    assert evaluate("qbe", root=own) == 2
    assert "lists two recordings named quesst14_00001" in capsys.readouterr().err


def test_there_is_nothing_to_train(downstream, capsys):
    assert downstream("-m", "train", "-u", "fbank", "-d", "quesst14_dtw", "-n", "qbe") == 2
    message = capsys.readouterr().err
    assert "nothing to train" in message and "-t test" in message and not expdir("qbe").exists()
