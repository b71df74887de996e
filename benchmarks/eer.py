"""Speed of our equal error rate against scikit-learn's ROC curve and a root finder, in one process in turns.

    python benchmarks/eer.py

The peer is what the public S3PRL does: `roc_curve`, then `brentq` for where the interpolated curve crosses
1 - x. Scores are random, those of target trials higher on the average, with ties. Each round runs both, so
that a busy machine disturbs both; the table has the median and the fastest round in milliseconds and the
ratio peer / ours of both. The two rates must be equal to 1e-9.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
WANTED = 100.0  # milliseconds at most, for 40,000 trials

Rate = Callable[[np.ndarray, np.ndarray], float]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=40_000, help="trials (default 40000)")
    parser.add_argument("--rounds", type=int, default=21, help="measured rounds (default 21)")
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from s3prl.downstream.common.metrics.eer import equal_error_rate, min_dcf

    scores, labels = make_trials(arguments.trials)
    sides: dict[str, Rate] = {
        "peer": rate_by_scikit_learn,
        "ours": lambda *trials: equal_error_rate(*trials)[0],
        "ours, minDCF": lambda *trials: min_dcf(*trials)[0],
    }
    rates = {name: rate(scores, labels) for name, rate in sides.items()}
    difference = abs(rates["peer"] - rates["ours"])
    print(f"{len(scores):,} trials, EER {100 * rates['ours']:.4f} %; the peer's differs by {difference:.1e}")
    if difference > 1e-9:
        sys.exit("The two equal error rates differ.")
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(arguments.rounds):
        for name, rate in sides.items():
            times[name].append(timed(rate, scores, labels))
    print_table(times)


def make_trials(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores, some of them equal, and labels; [trials]."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    return np.round(rng.normal(size=count) + 2 * labels, 4), labels


def rate_by_scikit_learn(scores: np.ndarray, labels: np.ndarray) -> float:
    """The equal error rate as the public S3PRL computes it."""
    from scipy.interpolate import interp1d
    from scipy.optimize import brentq
    from sklearn.metrics import roc_curve

    false_alarms, hits, _ = roc_curve(labels, scores)
    return float(brentq(lambda x: 1.0 - x - interp1d(false_alarms, hits)(x), 0.0, 1.0))


def timed(rate: Rate, scores: np.ndarray, labels: np.ndarray) -> float:
    """Milliseconds of one call."""
    start = time.perf_counter()
    rate(scores, labels)
    return 1000 * (time.perf_counter() - start)


def print_table(times: dict[str, list[float]]) -> None:
    """Medians and minima of all sides, and the ratios to the peer."""
    print(f"{'':14}{'median ms':>12}{'min ms':>10}{'ratio of medians':>20}{'of minima':>12}")
    peer = (statistics.median(times["peer"]), min(times["peer"]))
    for name, rounds in times.items():
        median, least = statistics.median(rounds), min(rounds)
        print(f"{name:14}{median:12.2f}{least:10.2f}{peer[0] / median:20.1f}{peer[1] / least:12.1f}")
    print(f"wanted: ours below {WANTED:.0f} ms for 40,000 trials")


if __name__ == "__main__":
    main()
