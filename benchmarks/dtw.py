"""Time per (query, document) pair of our search against scipy's cdist + dtw-python, interleaved.

    pip install -r requirements-dev.txt
    python benchmarks/dtw.py
    python benchmarks/dtw.py --dims 39 80 240 768 --distance cityblock
    python benchmarks/dtw.py --device cuda

The peer computes what the original task does for a pair: the distance matrix, its min-max scaling, and
dtw-python's asymmetric alignment with open begin and end. It runs on one core; the original spreads pairs
over processes, so its time is divided by the number of our threads, as if that cost nothing. Each round runs
both in one process, so that a busy machine disturbs them alike. Features are random and smooth in time;
queries and documents have usual lengths at 100 frames a second.
"""

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
QUERIES, DOCUMENTS = 555, 12492  # of the evaluation set of QUESST 2014
WANTED_RATIO, WANTED_MINUTES = 20, 10
TOLERANCE = 1e-5  # of the scores of both
GROWTH = (1, 2, 5, 10)


class Times(NamedTuple):
    """Milliseconds per pair of each round, with all cores at work."""

    peer: list[float]
    ours: list[float]


def main() -> None:
    """Measure and print the tables."""
    here = Path(__file__).resolve().parent  # must not hide the package dtw by this file
    sys.path[:] = [str(ROOT), *(entry for entry in sys.path if Path(entry).resolve() != here)]
    options = parse_arguments()
    torch.set_num_threads(options.threads)
    where = torch.cuda.get_device_name() if options.device == "cuda" else f"{options.threads} threads"
    print(f"{options.distance}, queries of {options.query} frames, documents of {options.document}, {where}")
    if options.device == "cpu":
        print_memory(options)  # first: the timing raises the peak of the process
    print(f"\n{'':5}{'peer ms/pair':>18}{'ours ms/pair':>18}{'ratio':>14}{'QUESST 2014, minutes':>24}")
    print(f"{'dim':5}{'median     min':>18}{'median     min':>18}{'median   min':>14}{'peer':>15}{'ours':>9}")
    for dim in options.dims:
        print_times(dim, measure(dim, options))
    print(f"{'wanted':41}{WANTED_RATIO:>14}{'':15}{WANTED_MINUTES:>9}")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    from s3prl.downstream.common.dtw import DISTANCES

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--dims", type=int, nargs="+", default=[240], help="of the features (default 240, fbank's)"
    )
    parser.add_argument(
        "--distance", default="cosine_exp", choices=list(DISTANCES), help="default cosine_exp"
    )
    parser.add_argument("--query", type=int, default=90, help="frames of a query (default 90)")
    parser.add_argument("--document", type=int, default=950, help="frames of a document (default 950)")
    parser.add_argument(
        "--queries", type=int, default=QUERIES, help=f"searched for at a time (default {QUERIES})"
    )
    parser.add_argument("--documents", type=int, default=4, help="in a round (default 4)")
    parser.add_argument("--peer_pairs", type=int, default=10, help="of the peer in a round (default 10)")
    parser.add_argument("--rounds", type=int, default=7, help="measured rounds (default 7)")
    parser.add_argument("--threads", type=int, default=2, help="CPU cores (default 2)")
    parser.add_argument(
        "--device", default="cpu", choices=("cpu", "cuda"), help="of our search (default cpu)"
    )
    return parser.parse_args()


def features(count: int, frames: int, dim: int, seed: int) -> list[Tensor]:
    """Random utterances [frames, dim] with the smoothness of speech: means of five frames of noise."""
    noise = torch.randn(count, dim, frames + 4, generator=torch.Generator().manual_seed(seed))
    return list(torch.nn.functional.avg_pool1d(noise, 5, 1).transpose(1, 2).contiguous())


def peer_score(query: np.ndarray, document: np.ndarray, distance: str) -> float:
    """What the original computes for a pair."""
    from dtw import dtw
    from scipy.spatial.distance import cdist

    if distance == "cosine_exp":
        matrix = np.exp(cdist(query, document, "cosine")) - 1
    elif distance == "cosine_neg_log":
        matrix = -np.log(1 - cdist(query, document, "cosine"))
    else:
        matrix = cdist(query, document, distance)
    low, high = matrix.min(1)[:, None], matrix.max(1)[:, None]
    matrix = (matrix - low) / np.clip(high - low, 1e-9, np.inf)
    path = dtw(matrix, step_pattern="asymmetric", open_begin=True, open_end=True)
    return -path.normalizedDistance


def measure(dim: int, options: argparse.Namespace) -> Times:
    """Both sides on the same features, in turn, after one round to warm up."""
    from s3prl.downstream.common.dtw import QueryIndex

    queries = features(options.queries, options.query, dim, seed=0)
    documents = features(options.documents, options.document, dim, seed=1)
    if options.distance == "cosine_neg_log":  # meant for posteriorgrams
        queries, documents = ([one.abs() for one in side] for side in (queries, documents))
    index = QueryIndex(queries, options.distance, device=options.device, threads=options.threads)
    pairs = [(n % len(queries), n % len(documents)) for n in range(options.peer_pairs)]
    arrays = [(queries[q].numpy(), documents[d].numpy()) for q, d in pairs]
    times = Times([], [])
    for turn in range(options.rounds + 1):
        theirs, peer = timed(lambda: [peer_score(*pair, options.distance) for pair in arrays])
        scores, ours = timed(lambda: index.scores(documents))
        if turn == 0:
            check_equal(theirs, [scores[d, q] for q, d in pairs])
            continue
        times.peer.append(peer / len(pairs) / options.threads)
        times.ours.append(ours / scores.size)
    return times


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns (on the CPU, so that a GPU has finished), and its milliseconds."""
    start = time.perf_counter()
    result = call()
    return result, 1000 * (time.perf_counter() - start)


def check_equal(theirs: Sequence[float], ours: Sequence[float]) -> None:
    """Refuse to compare the speed of different things."""
    difference = np.abs(np.subtract(theirs, ours)).max()
    if not difference < TOLERANCE:
        sys.exit(f"Scores of ours and of the peer differ by up to {difference:.2g}.")


def print_times(dim: int, times: Times) -> None:
    """Medians and minima of both sides, their ratios, and what the medians come to for all of QUESST 2014."""
    figures = [(statistics.median(side), min(side)) for side in times]
    cells = "".join(f"{median:10.3f}{least:8.3f}" for median, least in figures)
    ratios = [their / our for their, our in zip(*figures, strict=True)]
    minutes = [median * QUERIES * DOCUMENTS / 60e3 for median, _ in figures]
    print(f"{dim:<5}{cells}{ratios[0]:8.1f}{ratios[1]:6.1f}{minutes[0]:15.0f}{minutes[1]:9.1f}")


def print_memory(options: argparse.Namespace) -> None:
    """By how much the search raises the peak memory of the process, with more and with longer documents."""
    from s3prl.downstream.common.dtw import QueryIndex

    dim = options.dims[0]
    queries = features(options.queries, options.query, dim, seed=0)
    index = QueryIndex(queries, options.distance, threads=options.threads)
    (document,) = features(1, options.document, dim, seed=1)
    cases = {
        "as many": lambda n: [document] * n * options.threads,
        "as long": lambda n: [document.repeat(n, 1)],
    }
    index.scores(cases["as many"](1))
    print(f"\n{'documents':16}{'peak MB more':>14}{'of a document itself':>22}")
    for what, documents_of in cases.items():
        for growth in GROWTH:
            documents = documents_of(growth)
            before = peak()
            index.scores(documents)
            print(f"{growth:2} x {what:11}{peak() - before:14.1f}{documents[0].nbytes / 1e6:22.1f}")


def peak() -> float:
    """Largest memory of the process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
