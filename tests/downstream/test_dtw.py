"""The search of spoken queries, against what the original computes: scipy's distances and dtw-python."""

import re
import threading

import numpy as np
import pytest
import torch
from dtw import dtw
from scipy.spatial.distance import cdist

from s3prl.downstream.common.dtw import DISTANCES, QueryIndex, fast_forms, index, on_cpu, recursion
from s3prl.utility.errors import UserError

BACKENDS = ("compiled", "torch")
QUERIES, DOCUMENTS = (1, 2, 7, 23, 40), (1, 2, 5, 21, 64, 90)


def frames_of(lengths, distance="cosine", dim=13, seed=0):
    """Random features; positive ones for the distance that is meant for posteriorgrams."""
    generator = torch.Generator().manual_seed(seed)
    features = [torch.randn(length, dim, generator=generator) for length in lengths]
    return [one.abs() for one in features] if distance == "cosine_neg_log" else features


def distances_of(query, document, distance):
    if distance == "cosine_exp":
        return np.exp(cdist(query, document, "cosine")) - 1
    if distance == "cosine_neg_log":
        return -np.log(1 - cdist(query, document, "cosine"))
    return cdist(query, document, distance)


def alignment(
    query, document, distance="cosine_exp", minmax_norm=True, step_pattern="asymmetric", subsequence=True
):
    """What dtw-python finds for a pair."""
    matrix = distances_of(query.numpy(), document.numpy(), distance)
    if minmax_norm:
        low, high = matrix.min(1, keepdims=True), matrix.max(1, keepdims=True)
        matrix = (matrix - low) / np.clip(high - low, 1e-9, None)
    return dtw(
        matrix,
        step_pattern=step_pattern,
        distance_only=True,
        open_begin=subsequence,
        open_end=subsequence,
    )


def expected(queries, documents, **options):
    """[documents, queries] scores by dtw-python; NaN where it finds no path."""
    scores = np.full((len(documents), len(queries)), np.nan)
    for d, document in enumerate(documents):
        for q, query in enumerate(queries):
            try:
                scores[d, q] = -alignment(query, document, **options).normalizedDistance
            except ValueError as error:
                assert "No warping path" in str(error)
    return scores


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("minmax_norm", (True, False))
@pytest.mark.parametrize("distance", DISTANCES)
def test_scores_are_those_of_dtw_python(distance, minmax_norm, backend):
    queries, documents = frames_of(QUERIES, distance), frames_of(DOCUMENTS, distance, seed=1)
    scores = QueryIndex(queries, distance, minmax_norm, backend=backend).scores(documents)
    wanted = expected(queries, documents, distance=distance, minmax_norm=minmax_norm)
    np.testing.assert_allclose(scores, wanted, rtol=1e-5, atol=1e-5 if minmax_norm else 1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("step_pattern", ("asymmetric", "symmetric2"))
@pytest.mark.parametrize("minmax_norm", (True, False))
def test_paths_through_whole_documents_are_those_of_dtw_python(step_pattern, minmax_norm, backend):
    queries, documents = frames_of(QUERIES), frames_of(DOCUMENTS, seed=1)
    options = {"minmax_norm": minmax_norm, "step_pattern": step_pattern, "subsequence": False}
    scores = QueryIndex(queries, backend=backend, **options).scores(documents)
    wanted = expected(queries, documents, **options)
    possible = np.isfinite(wanted)
    assert possible.sum() > 10
    np.testing.assert_allclose(scores[possible], wanted[possible], atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_costs_of_symmetric1_are_divided_by_the_frames_of_both(backend):
    queries, documents = frames_of(QUERIES), frames_of(DOCUMENTS, seed=1)
    options = {"step_pattern": "symmetric1", "subsequence": False}
    scores = QueryIndex(queries, backend=backend, **options).scores(documents)
    for d, document in enumerate(documents):
        for q, query in enumerate(queries):
            cost = alignment(query, document, **options).distance / (len(query) + len(document))
            assert scores[d, q] == pytest.approx(-cost, abs=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("distance", ("cosine", "cosine_exp", "cityblock", "euclidean"))
def test_scores_are_exact_for_features_that_are_nearly_all_alike(distance, backend):
    """Hidden states without normalisation are: their cosines differ in the fourth digit."""
    offset = 100 * torch.ones(13)
    queries = [one + offset for one in frames_of(QUERIES)]
    documents = [one + offset for one in frames_of(DOCUMENTS, seed=1)]
    scores = QueryIndex(queries, distance, backend=backend).scores(documents)
    np.testing.assert_allclose(scores, expected(queries, documents, distance=distance), atol=1e-5)


@pytest.mark.parametrize("distance", ("cityblock", "euclidean", "sqeuclidean"))
def test_scores_are_exact_for_features_of_many_dimensions(distance):
    """Sums over thousands of dimensions, of features whose distances have a small range."""
    generator = torch.Generator().manual_seed(1)
    (document,) = frames_of((40,), dim=2047, seed=1)
    queries = [one + 2 * torch.randn(1, generator=generator) for one in frames_of((2, 3, 5, 20), dim=2047)]
    scores = QueryIndex(queries, distance, backend="compiled").scores([document])
    np.testing.assert_allclose(scores, expected(queries, [document], distance=distance), atol=3e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("distance", DISTANCES)
def test_a_query_is_found_where_a_document_repeats_it(distance, backend):
    (query, before, after) = frames_of((30, 40, 20), distance)
    with_it, without = torch.cat([before, query, after]), torch.cat([before, after])
    scores = QueryIndex([query], distance, backend=backend).scores([with_it, without, query])
    assert scores[0, 0] == pytest.approx(0, abs=1e-5) and scores[2, 0] == pytest.approx(0, abs=1e-5)
    assert scores[1, 0] < -0.05


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_document_of_equal_frames_scores_zero_as_by_dtw_python(backend):
    queries = frames_of(QUERIES)
    document = frames_of((1,), seed=1)[0].expand(30, -1)
    assert np.allclose(expected(queries, [document]), 0, atol=1e-5)
    assert np.allclose(QueryIndex(queries, backend=backend).scores([document]), 0, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("distance", "score"),
    (("cosine", -1), ("cosine_exp", 1 - np.e), ("cosine_neg_log", 53 * np.log(0.5)), ("correlation", -1)),
)
def test_frames_of_zeros_have_the_cosine_distance_one(distance, score, backend):
    queries, silence = frames_of(QUERIES, distance), torch.zeros(20, 13)
    scores = QueryIndex([*queries, silence], distance, minmax_norm=False, backend=backend).scores(
        [silence, torch.zeros(1, 13), *queries]
    )
    assert np.allclose(scores[:2], score) and np.allclose(scores[:, -1], score)
    scaled = QueryIndex([*queries, silence], distance, backend=backend).scores([silence, *queries])
    assert np.allclose(scaled[0], 0) and np.allclose(scaled[:, -1], 0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_pair_without_a_path_has_the_lowest_score_that_a_path_could_have(backend):
    (query,), (document,) = frames_of((4,)), frames_of((8,), seed=1)
    options = {"step_pattern": "asymmetric", "subsequence": False}
    assert np.isnan(expected([query], [document], **options)).all()
    assert QueryIndex([query], backend=backend, **options).scores([document])[0, 0] == pytest.approx(-1)
    raw = QueryIndex([query], "cosine", minmax_norm=False, backend=backend, **options).scores([document])
    assert raw[0, 0] == pytest.approx(-cdist(query.numpy(), document.numpy(), "cosine").max(1).mean())


@pytest.mark.parametrize("backend", BACKENDS)
def test_empty_queries_and_documents_have_the_documented_scores(backend):
    empty, (query, document) = torch.zeros(0, 13), frames_of((5, 30))
    scores = QueryIndex([empty, query], backend=backend).scores([empty, document])
    assert scores[0].tolist() == [0, -1] and scores[1, 0] == 0 and -1 < scores[1, 1] < 0
    raw = QueryIndex([query, empty], "cityblock", minmax_norm=False, backend=backend).scores([empty])
    assert raw[0] == pytest.approx([-query.abs().sum(1).mean().item(), 0])
    assert QueryIndex([empty], backend=backend).scores([document, empty]).tolist() == [[0], [0]]
    assert QueryIndex([], backend=backend).scores([document]).shape == (1, 0)
    assert QueryIndex([query], backend=backend).scores([]).shape == (0, 1)


@pytest.mark.parametrize("distance", ("cosine_exp", "cosine_neg_log", "euclidean"))
def test_a_score_does_not_depend_on_threads_nor_on_other_documents(distance):
    queries, documents = frames_of(QUERIES, distance), frames_of((64, 90, 33, 21, 64, 1), distance, seed=1)
    before = torch.get_num_threads()
    one = QueryIndex(queries, distance, threads=1).scores(documents)
    assert np.array_equal(QueryIndex(queries, distance, threads=3).scores(documents), one)
    assert np.array_equal(QueryIndex(queries, distance).scores(documents[3:4]), one[3:4])
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("distance", ("cosine_exp", "cosine_neg_log", "cityblock"))
@pytest.mark.parametrize("backend", BACKENDS)
def test_no_more_distances_are_in_memory_than_are_allowed(distance, backend, monkeypatch):
    """Whatever the number of queries; a query may then be cut in two anywhere."""
    queries, documents = frames_of(8 * QUERIES, distance), frames_of(DOCUMENTS, distance, seed=1)
    whole = QueryIndex(queries, distance, backend=backend).scores(documents)
    sizes = []

    def watched(matrix):
        def call(*frames):
            values = matrix(*frames)
            sizes.append(values.numel())
            return values

        return call

    monkeypatch.setattr(on_cpu, "CELLS", 4000)
    small = QueryIndex(queries, distance, backend=backend, cells=4000, threads=1)
    search = small._search
    search.distance = search.distance._replace(matrix=watched(search.distance.matrix))
    if backend == "compiled":
        matrix_of = search.fast.matrix_of
        search.fast = search.fast._replace(matrix_of=lambda document: watched(matrix_of(document)))
    np.testing.assert_allclose(small.scores(documents), whole, atol=2e-6)
    assert 2000 < max(sizes) <= 4000


@pytest.mark.parametrize(
    ("options", "said"),
    (
        ({"distance": "cosin_exp"}, "no distance 'cosin_exp'. Did you mean 'cosine_exp'?"),
        ({"step_pattern": "asymetric"}, "no step_pattern 'asymetric'. Did you mean 'asymmetric'?"),
        ({"step_pattern": "symmetric2"}, "set one of `step_pattern: asymmetric` and `subsequence: false`"),
        ({"backend": "numba"}, "no backend 'numba' on cpu. It has: compiled (on a CPU), torch."),
        ({"backend": "compiled", "device": "cuda"}, "no backend 'compiled' on cuda"),
    ),
)
def test_options_that_do_not_exist_or_do_not_fit_are_refused(options, said):
    with pytest.raises(UserError, match=re.escape(said)):
        QueryIndex(frames_of((3,)), **options)


def test_features_that_cannot_be_compared_are_refused():
    queries = frames_of((3, 5))
    broken = queries[1].clone()
    broken[2, 7] = torch.nan
    with pytest.raises(UserError, match="query 1: its features hold NaN"):
        QueryIndex([queries[0], broken])
    with pytest.raises(UserError, match=r"query 0: its shape is \(5,\)"):
        QueryIndex([torch.zeros(5)])
    with pytest.raises(UserError, match="document 0: its features hold NaN"):
        QueryIndex(queries).scores([broken])
    with pytest.raises(
        UserError, match=r"document 1: its shape is \(4, 14\), but queries have 13 dimensions"
    ):
        QueryIndex(queries).scores([queries[0], *frames_of((4,), dim=14)])


def test_scores_are_the_same_by_the_matrix_product_that_always_exists(monkeypatch):
    queries, documents = frames_of(QUERIES), frames_of(DOCUMENTS, seed=1)
    usual = QueryIndex(queries).scores(documents)
    monkeypatch.setattr(fast_forms, "ONEDNN", False)
    np.testing.assert_allclose(QueryIndex(queries).scores(documents), usual, atol=2e-6)


def test_without_numba_the_search_is_one_of_tensors(monkeypatch):
    assert index.default_backend(torch.device("cpu")) == "compiled"
    assert index.default_backend(torch.device("cuda")) == "torch"
    monkeypatch.setattr(index.importlib.util, "find_spec", lambda name: None)
    assert index.default_backend(torch.device("cpu")) == "torch"


def test_functions_are_compiled_also_where_no_cache_can_be_written(monkeypatch):
    compiled = []

    def njit(cache=False, **options):
        def decorate(function):
            if cache:
                raise RuntimeError("cannot cache function: no locator available")
            compiled.append(function)
            return function

        return decorate

    monkeypatch.setattr(recursion, "njit", njit)
    assert recursion.compiled(len) is len and compiled == [len]


def test_a_user_who_waits_for_compilation_is_told_so(monkeypatch, capsys):
    told = threading.Event()

    def say(text, on_stdout):
        assert text.startswith("Compiling the search") and not on_stdout
        told.set()

    monkeypatch.setattr(on_cpu, "NOTICE", 0.01)
    monkeypatch.setattr(on_cpu, "say", say)
    monkeypatch.setattr(on_cpu, "compile_all", lambda: told.wait(60))
    on_cpu.compile_once()
    assert told.is_set()
