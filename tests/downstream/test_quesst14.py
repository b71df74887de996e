"""Spoken-term search: scores as the public recipe computes them, layers, going on after a kill, bad input."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from dtw import dtw
from scipy.spatial.distance import cdist
from spoken_terms import (  # noqa: F401
    DOCUMENTS,
    english,
    evaluate_corpus,
    expdir,
    make_quesst,
    name_of,
    own_corpus,
    shared_corpus,
)

from s3prl import hub
from s3prl.downstream.common.corpora import quesst14
from s3prl.downstream.common.metrics.quesst import score_search
from s3prl.downstream.common.metrics.quesst_truth import read_ground_truth
from s3prl.downstream.common.metrics.stdlist import read_stdlist
from s3prl.downstream.quesst14_dtw import report, search
from s3prl.downstream.quesst14_dtw.statistics import Moments
from s3prl.utility.audio import load

XML = "benchmark.stdlist.xml"
DISTANCES = {
    "cosine_exp": lambda one, other: np.exp(cdist(one, other, "cosine")) - 1,
    "cosine_neg_log": lambda one, other: -np.log(1 - cdist(one, other, "cosine")),
}


@pytest.fixture(autouse=True)
def small_groups(monkeypatch):
    """One document is compared at a time."""
    monkeypatch.setattr(search, "PER_THREAD", 1)


@pytest.fixture
def compared(monkeypatch):
    """The frames of every document that is compared; `fail_at` ends the run at a document."""

    class Compared(list):
        fail_at = None

    frames, scores = Compared(), search.QueryIndex.scores

    def count(self, documents):
        if frames.fail_at is not None and len(frames) >= frames.fail_at:
            raise RuntimeError("killed")
        frames.extend(len(document) for document in documents)
        return scores(self, documents)

    monkeypatch.setattr(search.QueryIndex, "scores", count)
    return frames


def result(name):
    return json.loads((expdir(name) / "result.json").read_text())["metrics"]


def features_of(root, part, upstream, silence=None):
    """float64 [frames, dim] of the English recordings of a part, 3 dB softer, each alone."""
    folder = {"utterances": "Audio"}.get(part, f"{part}_queries")
    model = getattr(hub, upstream)()
    found = {}
    for name in english(part):
        wave = torch.from_numpy(load(root / folder / f"{name}.wav", 16000)) * 10 ** (-3 / 20)
        with torch.no_grad():
            feature = model([wave])["last_hidden_state"][0].double()
        found[name] = feature if silence is None else feature[feature.argmax(1) != silence]
    return found


def expected(root, part, upstream, dist_method, minmax=True, normalized=True, silence=None):
    """What the public recipe computes: standardised scores by query and document."""
    queries = features_of(root, part, upstream, silence)
    documents = features_of(root, "utterances", upstream, silence)
    frames = torch.cat([*queries.values(), *documents.values()])
    mean, std = (frames.mean(0), frames.std(0).clamp(1e-9)) if normalized else (0.0, 1.0)
    measure = DISTANCES.get(dist_method, lambda one, other: cdist(one, other, dist_method))
    scores = {}
    for name, query in queries.items():
        row = []
        for document in documents.values():
            distances = measure(((query - mean) / std).numpy(), ((document - mean) / std).numpy())
            if minmax:
                low, high = distances.min(1, keepdims=True), distances.max(1, keepdims=True)
                distances = (distances - low) / np.maximum(high - low, 1e-9)
            path = dtw(distances, step_pattern="asymmetric", open_begin=True, open_end=True)
            row.append(-path.normalizedDistance)
        row = np.zeros(len(documents)) if len(query) < 5 else np.array(row)
        scores[name] = (row - row.mean()) / max(row.std(), 1e-9)
    return scores


@pytest.mark.parametrize("split, part", [("dev", "dev"), ("test", "eval")])
def test_scores_are_those_of_the_public_recipe(evaluate, shared, split, part):
    assert evaluate("qbe", split=split) == 0
    found = read_stdlist(expdir("qbe") / XML)
    wanted = expected(shared, part, "fbank", "cosine_exp")
    assert found.queries == list(wanted) == english(part)
    assert found.documents == english("utterances")
    assert np.allclose(found.scores, np.stack(list(wanted.values())), atol=2e-4)
    assert np.array_equal(found.decisions, np.stack(list(wanted.values())) > 2)


@pytest.mark.parametrize(
    "distance, minmax, normalized",
    [
        ("cosine", True, False),
        ("cityblock", False, True),
        ("euclidean", True, True),
        ("cosine_neg_log", True, False),
    ],
)
def test_every_distance_is_that_of_the_public_recipe(evaluate, shared, distance, minmax, normalized):
    upstream = "log_stft" if distance == "cosine_neg_log" else "fbank"
    fields = {
        "dtwrc__dist_method": distance,
        "dtwrc__minmax_norm": minmax,
        "feature_normalization": normalized,
    }
    assert evaluate("qbe", upstream=upstream, **fields) == 0
    wanted = expected(shared, "eval", upstream, distance, minmax, normalized)
    assert np.allclose(read_stdlist(expdir("qbe") / XML).scores, np.stack(list(wanted.values())), atol=2e-4)


def test_frames_of_the_silence_class_are_left_out(evaluate, shared):
    frames = torch.cat(list(features_of(shared, "utterances", "mel").values()))
    silence = int(frames.argmax(1).mode().values)
    assert evaluate("qbe", upstream="mel", silence_frame=silence) == 0
    wanted = expected(shared, "eval", "mel", "cosine_exp", silence=silence)
    assert np.allclose(read_stdlist(expdir("qbe") / XML).scores, np.stack(list(wanted.values())), atol=2e-4)
    assert evaluate("other", upstream="mel") == 0
    assert (expdir("other") / XML).read_bytes() != (expdir("qbe") / XML).read_bytes()


def test_the_results_are_what_the_official_scorer_reads(evaluate):
    assert evaluate("qbe", split="dev", threshold=1.4) == 0
    lines = (expdir("qbe") / XML).read_text().splitlines()
    assert lines[1] == (
        '<stdlist termlist_filename="benchmark.stdlist.xml" indexing_time="1.00" language="english" '
        'index_size="1" system_id="benchmark">'
    )
    query = next(number for number, line in enumerate(lines) if "quesst14_dev_0002" in line)
    assert lines[query].split(maxsplit=1)[1] == (
        'termid="quesst14_dev_0002" term_search_time="1.0" oov_term_count="1">'
    )
    term = (
        r' *<term file="quesst14_00005" channel="1" tbeg="0.000" dur="0.00" score="1.43.." decision="YES"/>'
    )
    assert re.fullmatch(term, lines[query + 4])
    assert sum('termid="' in line for line in lines) == 3  # the Czech query is none of the default languages
    click = lines[next(n for n, line in enumerate(lines) if "quesst14_dev_0004" in line) + 1]
    assert 'score="0.0000" decision="NO"' in click


def test_official_scores_are_reported_for_every_ground_truth(evaluate, shared, capsys):
    assert evaluate("qbe", split="dev") == 0
    found = result("qbe")
    # One of three queries was not searched, nor was one of the documents: what is in them is missed.
    assert found["mtwv_searched"] > found["mtwv"] > 0
    truth = read_ground_truth(shared / "scoring/groundtruth_quesst14_dev")
    scores = score_search(read_stdlist(expdir("qbe") / XML), truth)  # as the command twv does
    assert [found[name] for name in ("mtwv", "atwv", "min_cnxe", "act_cnxe")] == [
        scores.official.mtwv, scores.official.atwv, scores.official.min_cnxe, scores.official.act_cnxe,
    ]  # fmt: skip
    assert found["mtwv_searched"] == scores.searched.mtwv
    assert {"atwv", "min_cnxe", "act_cnxe", "mtwv_same_voice", "mtwv_same_voice_searched"} <= set(found)
    assert "3 queries, 5 documents: 10 comparisons in" in capsys.readouterr().out  # one query is too short
    assert evaluate("all", split="dev", datarc__languages=None) == 0
    assert not [name for name in result("all") if name.endswith("_searched")]
    assert len(read_stdlist(expdir("all") / XML).documents) == len(DOCUMENTS)


def test_without_a_ground_truth_results_are_written_all_the_same(evaluate, own, capsys):
    for folder in (own / "scoring").glob("groundtruth*"):
        shutil.rmtree(folder)
    assert evaluate("qbe", root=own) == 0
    assert result("qbe") == {} and (expdir("qbe") / XML).is_file()
    assert "has no ground truth of eval: no score is computed" in capsys.readouterr().out


def test_a_ground_truth_of_other_queries_does_not_end_the_evaluation(evaluate, own, capsys):
    scoring = own / "scoring"
    shutil.copytree(scoring / "groundtruth_quesst14_dev", scoring / "groundtruth_quesst14_eval_other")
    assert evaluate("qbe", root=own) == 0
    assert "No score by the ground truth 'other': The ground truth lists none of" in capsys.readouterr().out
    assert "mtwv" in result("qbe") and "mtwv_other" not in result("qbe")


def test_a_further_ground_truth_without_occurrences_does_not_keep_the_search_from_beginning(
    evaluate, own, capsys
):
    for path in own.glob("scoring/*_eval_same_voice/*.rttm"):
        path.write_text("")
    assert evaluate("qbe", root=own) == 0
    assert "No score by the ground truth 'same_voice'" in capsys.readouterr().out
    assert "mtwv" in result("qbe") and "mtwv_same_voice" not in result("qbe")


def test_all_layers_of_one_extraction_are_those_that_l_chooses(evaluate, computed):
    assert evaluate("all", upstream="example", dtwrc__layers="all") == 0
    assert len(computed) == len(english("eval") + english("utterances"))  # once each
    texts = [(expdir("all") / f"layer-{layer}" / XML).read_text() for layer in range(3)]
    assert len(set(texts)) == 3 and not (expdir("all") / XML).exists()
    for layer, text in enumerate(texts):
        assert evaluate(f"l{layer}", "-l", layer, upstream="example", dtwrc__layers="all") == 0
        assert (expdir(f"l{layer}") / XML).read_text() == text
        assert result("all")[f"layer-{layer}-mtwv"] == result(f"l{layer}")["mtwv"]
    assert evaluate("some", upstream="example", dtwrc__layers=[-1, 0]) == 0
    assert [(expdir("some") / f"layer-{layer}" / XML).is_file() for layer in range(3)] == [True, False, True]


def test_by_default_the_mean_of_the_layers_is_searched(evaluate, monkeypatch):
    features = []
    monkeypatch.setattr(search.Search, "query", lambda self, name, feature: features.append(feature))
    for layers in ("mean", "all"):
        assert evaluate(layers, upstream="example", dtwrc__layers=layers) == 2  # no query is known
    mean, every = features[0], features[len(features) // 2]
    assert every.shape[0] == 3 and torch.equal(every.mean(0, keepdim=True), mean)


def test_the_layer_that_is_best_on_dev_is_named_for_the_test_queries(evaluate, capsys):
    assert evaluate("qbe", upstream="example", dtwrc__layers="all") == 0
    assert "evaluate -t dev into the same folder" in capsys.readouterr().out
    assert "mtwv" not in result("qbe")
    test = [result("qbe")[f"layer-{layer}-mtwv"] for layer in range(3)]
    assert evaluate("qbe", upstream="example", split="dev", dtwrc__layers="all") == 0
    scores = [result("qbe")[f"layer-{layer}-mtwv"] for layer in range(3)]
    best = scores.index(max(scores))
    assert result("qbe")["mtwv"] == max(scores) and result("qbe")["layer"] == best
    told = f"Layer {best} is the best on dev. Its mtwv: {max(scores):.4f} on dev, {test[best]:.4f} on eval."
    assert told in capsys.readouterr().out
    assert evaluate("qbe", upstream="example", dtwrc__layers="all") == 0
    assert told in capsys.readouterr().out
    assert result("qbe")["mtwv"] == test[best]
    assert evaluate("qbe", upstream="example", dtwrc__layers="all", dtwrc__dist_method="cosine") == 0
    assert "mtwv" not in result("qbe")  # that layer was chosen for another distance
    normalized = "--upstream_feature_normalize"
    assert evaluate("qbe", normalized, upstream="example", dtwrc__layers="all") == 0
    assert "mtwv" not in result("qbe")  # and of other features


@pytest.mark.parametrize(
    "normalized, layers, batch", [(True, "mean", 1), (True, "all", 2), (False, "mean", 2)]
)
def test_a_search_that_was_killed_computes_nothing_twice(
    evaluate, computed, compared, normalized, layers, batch
):
    fields = {
        "upstream": "example", "feature_normalization": normalized, "dtwrc__layers": layers,
        "datarc__batch_size": batch,
    }  # fmt: skip
    assert evaluate("whole", **fields) == 0
    waves, documents = sorted(computed), sorted(compared)
    computed.clear(), compared.clear()
    compared.fail_at = 3 * (len(documents) // len(english("utterances")))
    with pytest.raises(RuntimeError, match="killed"):
        evaluate("killed", **fields)
    first, done = list(computed), list(compared)
    computed.clear(), compared.clear()
    compared.fail_at = None
    assert evaluate("killed", **fields, max_workers=2, datarc__num_workers=1) == 0
    assert sorted(done + compared) == documents
    if normalized:  # everything had been measured, and was kept
        assert sorted(first) == waves and not computed
    else:  # but for the batches on their way to the comparison
        assert len(first + computed) <= len(waves) + 2 * batch and len(computed) < len(waves) - 3
    files = sorted(path.relative_to(expdir("whole")) for path in expdir("whole").rglob(XML))
    for file in files:
        assert (expdir("killed") / file).read_bytes() == (expdir("whole") / file).read_bytes()
    assert result("killed") == result("whole") and not (expdir("killed") / "partial").exists()


def test_killed_while_features_are_measured_it_goes_on_there(evaluate, computed, monkeypatch):
    assert evaluate("whole", upstream="example") == 0
    waves, measured = sorted(computed), search.Search.measure
    computed.clear()

    def fail(self, name, feature):
        if name == name_of("utterances", 4):
            raise RuntimeError("killed")
        measured(self, name, feature)

    monkeypatch.setattr(search.Search, "measure", fail)
    with pytest.raises(RuntimeError, match="killed"):
        evaluate("killed", upstream="example")
    monkeypatch.setattr(search.Search, "measure", measured)
    assert evaluate("killed", upstream="example") == 0
    assert len(computed) == len(waves) + 1  # the document that it was killed at
    assert (expdir("killed") / XML).read_bytes() == (expdir("whole") / XML).read_bytes()


def test_killed_while_results_are_written_it_only_writes_them(evaluate, computed, compared, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("killed")

    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="killed"):
        patched.setattr(report, "write_stdlist", fail)
        evaluate("qbe", upstream="example")
    computed.clear(), compared.clear()
    assert evaluate("qbe", upstream="example") == 0
    assert not computed and not compared and (expdir("qbe") / XML).is_file()


def test_the_same_search_twice_at_a_time_ends_in_one_message(evaluate, monkeypatch, capsys):
    finish = search.Search.finish

    def after_the_other(self, documents):
        shutil.rmtree(expdir("qbe") / "partial")  # as the other does when its results are written
        finish(self, documents)

    monkeypatch.setattr(search.Search, "finish", after_the_other)
    assert evaluate("qbe") == 2
    assert "If the same evaluation ran twice at a time" in capsys.readouterr().err


def test_features_that_are_not_kept_are_computed_twice_or_read_from_the_cache(evaluate, computed, tmp_path):
    waves = len(english("eval") + english("utterances"))
    assert evaluate("kept", upstream="example") == 0
    assert len(computed) == waves
    assert evaluate("twice", upstream="example", kept_features=0) == 0
    assert len(computed) == 2 * waves + len(english("utterances"))
    # Sums are taken in another order: the statistics may differ in the last bit.
    first, second = (read_stdlist(expdir(name) / XML).scores for name in ("kept", "twice"))
    assert np.allclose(first, second, atol=2e-4)
    computed.clear()
    cache = ["--cache", tmp_path / "cache", "--cache_dtype", "float32"]
    assert evaluate("cached", *cache, upstream="example") == 0
    assert len(computed) == waves
    assert np.allclose(first, read_stdlist(expdir("cached") / XML).scores, atol=2e-4)


def test_documents_that_wait_for_the_comparison_do_not_fill_the_memory(evaluate, monkeypatch):
    groups, scores = [], search.QueryIndex.scores

    def count(self, documents):
        groups.append(len(documents))
        return scores(self, documents)

    monkeypatch.setattr(search.QueryIndex, "scores", count)
    monkeypatch.setattr(search, "PER_THREAD", 100)
    assert evaluate("one") == 0
    assert groups == [5]
    monkeypatch.setattr(search, "MOST_BYTES", 2 * 240 * 4 * 30)  # of some 30 frames: two documents
    assert evaluate("some") == 0
    assert len(groups) > 2 and sum(groups[1:]) == 5
    assert (expdir("one") / XML).read_bytes() == (expdir("some") / XML).read_bytes()


def test_another_recording_of_the_same_name_is_searched_anew(evaluate, own, compared):
    fields = {"root": own, "feature_normalization": False}
    compared.fail_at = 3
    with pytest.raises(RuntimeError, match="killed"):
        evaluate("killed", **fields)
    make_quesst(own.parent / "new", seed=1)
    shutil.rmtree(own / "Audio")
    shutil.move(own.parent / "new/Audio", own / "Audio")
    compared.clear()
    compared.fail_at = None
    assert evaluate("killed", **fields) == 0
    assert len(compared) == len(english("utterances"))
    assert evaluate("whole", **fields) == 0
    assert (expdir("killed") / XML).read_bytes() == (expdir("whole") / XML).read_bytes()


def test_statistics_are_those_of_all_frames_at_once():
    frames = 1000 + torch.randn(50, 3, generator=torch.manual_seed(0))
    one, other = Moments(), Moments()
    for part in frames[:30].split([1, 0, 20, 9]):
        one.add(part)
    other.add(frames[30:])
    one.merge(other)
    wanted = torch.stack([frames.double().mean(0), frames.double().std(0)]).float()
    assert torch.allclose(one.result(3), wanted, rtol=1e-6)
    silent = Moments()
    silent.add(torch.zeros(1, 3))
    assert torch.equal(silent.result(3), torch.tensor([[0.0] * 3, [1e-9] * 3]))


def test_a_ground_truth_of_another_name_is_found(tmp_path):
    for name in ("dev", "dev_T1", "eval", "eval_T1_x", "development"):
        (tmp_path / f"scoring/groundtruth_quesst14_{name}").mkdir(parents=True)
    assert sorted(quesst14.ground_truths(tmp_path, "dev")) == ["", "T1"]
    assert sorted(quesst14.ground_truths(tmp_path, "test")) == ["", "T1_x"]
