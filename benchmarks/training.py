"""Speed of training updates against the public S3PRL, interleaved in one process, and where their time goes.

    pip install --no-deps --target /tmp/peer s3prl==0.4.18
    python benchmarks/training.py --s3prl /tmp/peer
    python benchmarks/training.py --s3prl /tmp/peer --only mini --rounds 20
    python benchmarks/training.py --s3prl /tmp/peer --only ks,asr

`full` and `mini` are speech recognition on fbank, with 16 utterances of lengths that one bucket has
(`--seconds`; at LibriSpeech's average, `--seconds 12 14`, the peer takes minutes a step): `full` is
downstream/asr/config.yaml (SUPERB's recipe: 2 bidirectional LSTM layers of 1024), `mini` is
downstream/asr/mini.yaml. A step is what both runners do for one update: fbank of the waves, the featurizer,
SpecAugment where the config has it, the task's loss and scores, the backward pass, gradient clipping, Adam.

`ks` and `asr` are keyword spotting and speech recognition by their mini.yaml on a frozen HuBERT of the base
size with random weights. Ours is the real training loop, reading from disk and logging; the peer's waves are
in memory. Below the table is where the time of our updates goes.

Both sides have the same weights; their losses are compared before their speed is. Each round runs both, on
2 threads, so that a busy machine disturbs both alike. The table has the median and the fastest round of each,
and the ratio peer / ours of both. The public package needs pandas beside it; torchaudio's compiled part is
not needed.
"""

import contextlib
import io
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import frozen
import numpy as np
import torch
from peer import Batch, PublicTraining
from torch import Tensor
from updates import parts, table, updates
from upstreams import (
    ROOT,
    SAMPLE_RATE,
    arguments_parser,
    columns,
    parse_arguments,
    prepare_imports,
    public_package,
)

THREADS = 2
UTTERANCES = 16
WARM_UP = 1  # rounds
SAME = 0.02  # largest relative difference of the losses: the peer counts up to 2 frames more per utterance
CONFIGS = {"full": "config.yaml", "mini": "mini.yaml"}
SECONDS = {"full": (4.0, 5.0), "mini": (2.0, 3.5)}  # the peer's backward pass takes minutes for longer ones
STEPS = 3  # updates per round on a frozen upstream


class Variant(NamedTuple):
    """One of the ways in which we train on a frozen upstream."""

    cached: bool = False  # from the second epoch on: the cache is filled first
    heads: int = 1  # of a sweep
    steps: int | None = None  # updates per round, if not as many as the peer


VARIANTS = {
    "ks": {
        "ours": Variant(),
        "ours, five rates": Variant(heads=5),
        "ours, cached": Variant(cached=True, steps=1000),
        "ours, cached, five rates": Variant(cached=True, heads=5, steps=300),
    },
    "asr": {"ours": Variant(), "ours, cached": Variant(cached=True, steps=20)},
}


def main() -> None:
    """Measure and print the tables."""
    parser = arguments_parser(__doc__, [*CONFIGS, *frozen.TASKS])
    lengths = f"shortest and longest utterance (default {SECONDS})"
    parser.add_argument("--seconds", type=float, nargs=2, metavar=("LOW", "HIGH"), help=lengths)
    steps = f"updates per round of {', '.join(frozen.TASKS)} (default {STEPS})"
    parser.add_argument("--steps", type=int, default=STEPS, help=steps)
    arguments = parse_arguments(parser)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "upstream")]
    prepare_imports()
    torch.set_num_threads(THREADS)
    on_fbank = [name for name in arguments.only if name in CONFIGS]
    on_hubert = [name for name in arguments.only if name in frozen.TASKS]
    print(f"CPU, {torch.get_num_threads()} threads")
    if on_fbank:
        print(f"\nfbank, {UTTERANCES} utterances a step\n{heading('config', 'audio s')}")
    for name in on_fbank:
        seconds = arguments.seconds or SECONDS[name]
        with tempfile.TemporaryDirectory() as folder:
            audio, times = measure(name, arguments.s3prl, seconds, arguments.rounds, Path(folder))
        print(f"{name:8}{audio:14.0f}{columns(times, digits=2)}", flush=True)
    for name in on_hubert:
        print(f"\n{name} on a frozen HuBERT Base, an update\n{heading(name, '')}")
        with tempfile.TemporaryDirectory() as folder:
            measure_frozen(name, arguments.s3prl, arguments.rounds, arguments.steps, Path(folder))


def heading(first: str, second: str) -> str:
    """The two lines above the rows of a table."""
    return (
        f"{'':8}{'':>14}{'peer s':>20}{'ours s':>20}{'ratio':>16}\n"
        f"{first:8}{second:>14}{'median       min':>20}{'median       min':>20}{'median   min':>16}"
    )


def measure_frozen(name: str, s3prl: Path, rounds: int, steps: int, folder: Path) -> None:
    """Print a row for each of our variants, then where the time of its updates goes."""
    runner, peer = frozen.prepared(name, s3prl, folder)
    read = frozen.batches(runner, 2)
    check_equal(name, peer.loss(read[0]), our_loss(runner, read[0]))
    variants = VARIANTS[name]
    runners = {label: our_variant(name, folder, variant) for label, variant in variants.items()}
    times: dict[str, list[tuple[float, float]]] = {label: [] for label in variants}
    endless = cycle(read)
    for turn in range(WARM_UP + rounds):
        torch.set_num_threads(THREADS)  # a training may have found fewer best
        theirs = timed(lambda: [peer.update(batch) for batch in islice(endless, steps)]) / steps
        for label, variant in variants.items():
            torch.set_num_threads(THREADS)
            ours = updates(runners[label], variant.steps or steps)
            told = f"{name}, round {turn}: peer {theirs:.3f} s, {label} {ours:.5f} s"
            print(told, file=sys.stderr, flush=True)
            if turn >= WARM_UP:
                times[label].append((theirs, ours))
    for label in variants:
        print(f"{label:28}{columns(times[label], digits=4)}", flush=True)
    encoding = {}
    for label, variant in variants.items():
        if variant.heads > 1:
            continue
        torch.set_num_threads(THREADS)
        found = parts(runners[label], variant.steps or steps)
        encoding[label] = found["encoding"]
        print(f"\n{name}, {label}: where the time of an update goes")
        print(table(found), flush=True)
    plain, cached = encoding["ours"], encoding["ours, cached"]
    print(f"\n{name}, encoding: {plain:.4f} s, cached {cached:.4f} s, ratio {plain / cached:.0f}")


def our_variant(name: str, folder: Path, variant: Variant) -> Any:
    """The runner of a variant, its cache filled; or the runners of a sweep."""
    options = ["--cache", str(folder / "cache"), "--cache_dtype", "float16"] if variant.cached else []
    runner = frozen.our_runner(name, folder, options)
    if variant.cached:
        print(f"{name}: filling the cache", file=sys.stderr, flush=True)
        updates(runner, variant.steps)
    return runner if variant.heads == 1 else frozen.sweep(runner, variant.heads)


def measure(
    name: str, s3prl: Path, seconds: tuple[float, float], rounds: int, folder: Path
) -> tuple[float, list[tuple[float, float]]]:
    """Seconds of audio in the batch, and (peer, ours) seconds for each round after those to warm up."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        runner, batch = our_runner(name, seconds, folder)
        with public_package(s3prl):
            peer = public_training(runner, s3prl)
    check_equal(name, peer.loss(batch), our_loss(runner, batch))
    step = our_step(runner, batch)
    times = []
    for turn in range(WARM_UP + rounds):
        pair = (timed(lambda: peer.update(batch)), timed(step))
        told = f"{name}, round {turn}: peer {pair[0]:.2f} s, ours {pair[1]:.2f} s"
        print(told, file=sys.stderr, flush=True)
        if turn >= WARM_UP:
            times.append(pair)
    return sum(map(len, batch.wavs)) / SAMPLE_RATE, times


def our_runner(name: str, seconds: tuple[float, float], folder: Path) -> tuple[Any, Batch]:
    """The runner of a config as the command line builds it, and a batch for its task."""
    from run_downstream import build_parser
    from s3prl.downstream import experiment
    from s3prl.downstream.common.items import Item
    from s3prl.downstream.runner import Runner
    from s3prl.utility.recordings import Recording

    (folder / "LibriSpeech" / "train-clean-100").mkdir(parents=True)
    (folder / "LibriSpeech" / "dev-clean").mkdir()
    config = ROOT / "downstream" / "asr" / CONFIGS[name]
    root = f"config.downstream_expert.datarc.libri_root='{folder / 'LibriSpeech'}'"
    command = ["-u", "fbank", "-d", "asr", "-c", str(config), "-p", str(folder), "-o", root]
    plan = experiment.build(build_parser().parse_args([*command, "--device", "cpu"]))
    torch.manual_seed(0)
    runner = Runner(plan.args, plan.config)
    torch.set_num_threads(THREADS)  # both sides on as many, whatever the runner finds best
    random = np.random.default_rng(0)
    wavs, targets, items = [], [], []
    for number, length in enumerate(sorted(random.uniform(*seconds, UTTERANCES), reverse=True)):
        wavs.append(0.1 * random.standard_normal(round(length * SAMPLE_RATE)).astype(np.float32))
        letters = random.choice(list("ETAOINSHRDLU "), round(length * frozen.LETTERS_PER_SECOND))
        items.append(Item(f"utterance-{number}", Recording("none.wav"), " ".join("".join(letters).split())))
        targets.append(runner.downstream.target(items[-1]))
    return runner, Batch(wavs, targets, items)


def our_loss(runner: Any, batch: Batch) -> Tensor:
    """Of a batch, without dropout and SpecAugment."""
    runner.downstream.eval()
    with torch.no_grad():
        split = runner.settings.train_dataloader
        return runner.loss(split, runner.encode(batch), defaultdict(list), batch_id=0)


def our_step(runner: Any, batch: Batch) -> Callable[[], None]:
    """An update of our engine."""
    from s3prl.training.head import Head

    head = Head(runner)
    runner.downstream.train()
    return lambda: head.apply(head.backward(runner.encode(batch), 1.0), 0.0)


def public_training(runner: Any, s3prl: Path) -> PublicTraining:
    """The public package's side, on its fbank."""
    from s3prl.upstream.baseline.expert import UpstreamExpert

    fbank = s3prl / "s3prl" / "upstream" / "baseline" / "fbank.yaml"
    return PublicTraining(runner, UpstreamExpert(fbank))


def check_equal(name: str, peer: Tensor, ours: Tensor) -> None:
    """Refuse to compare the speed of different things, by the losses of both sides."""
    theirs, own = float(peer), float(ours)
    if not abs(theirs - own) <= SAME * abs(theirs):
        sys.exit(f"{name}: the peer's loss is {theirs:.6g}, ours is {own:.6g}")


def timed(step: Callable[[], Any]) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
