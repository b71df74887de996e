"""Speed of a training step of speech recognition against the public S3PRL, interleaved in one process.

    pip install --no-deps --target /tmp/peer s3prl==0.4.18
    python benchmarks/training.py --s3prl /tmp/peer
    python benchmarks/training.py --s3prl /tmp/peer --only mini --rounds 20

A step is what both runners do for one update: fbank of the waves, the featurizer, SpecAugment where the
config has it, the task's loss and scores, the backward pass, gradient clipping, Adam. `full` is
downstream/asr/config.yaml (SUPERB's recipe: 2 bidirectional LSTM layers of 1024), `mini` is
downstream/asr/mini.yaml. Both sides have the same weights and the same batch of 16 utterances, of lengths
that one bucket has (`--seconds`; at LibriSpeech's average, `--seconds 12 14`, the peer takes minutes a step);
their losses are compared before their speed is. Each round runs both once, on 2 threads, so that a busy
machine disturbs both alike. The table has the median and the fastest round of each, and the ratio peer / ours
of both. The public package needs pandas beside it; torchaudio's compiled part is not needed.
"""

import contextlib
import io
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
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
LETTERS_PER_SECOND = 14  # LibriSpeech's
CONFIGS = {"full": "config.yaml", "mini": "mini.yaml"}
SECONDS = {"full": (4.0, 5.0), "mini": (2.0, 3.5)}  # the peer's backward pass takes minutes for longer ones


class Batch(NamedTuple):
    """What both sides train on."""

    wavs: list[np.ndarray]
    targets: list[np.ndarray]
    items: list[Any]


class Side(NamedTuple):
    """One of the two implementations, ready to train."""

    loss: Callable[[], Tensor]  # of the batch, without dropout and SpecAugment
    step: Callable[[], None]  # one update


def main() -> None:
    """Measure and print the table."""
    parser = arguments_parser(__doc__, CONFIGS)
    lengths = f"shortest and longest utterance (default {SECONDS})"
    parser.add_argument("--seconds", type=float, nargs=2, metavar=("LOW", "HIGH"), help=lengths)
    arguments = parse_arguments(parser)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "upstream")]
    prepare_imports()
    torch.set_num_threads(THREADS)
    print(f"CPU, {torch.get_num_threads()} threads; {UTTERANCES} utterances a step")
    print(f"{'':8}{'':>14}{'peer s':>20}{'ours s':>20}{'ratio':>16}")
    print(f"{'config':8}{'audio s':>14}{'median       min':>20}{'median       min':>20}{'median   min':>16}")
    for name in arguments.only:
        seconds = arguments.seconds or SECONDS[name]
        with tempfile.TemporaryDirectory() as folder:
            audio, times = measure(name, arguments.s3prl, seconds, arguments.rounds, Path(folder))
        print(f"{name:8}{audio:14.0f}{columns(times, digits=2)}", flush=True)


def measure(
    name: str, s3prl: Path, seconds: tuple[float, float], rounds: int, folder: Path
) -> tuple[float, list[tuple[float, float]]]:
    """Seconds of audio in the batch, and (peer, ours) seconds for each round after those to warm up."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        runner, batch = our_runner(name, seconds, folder)
        with public_package(s3prl):
            peer = public_side(runner, batch, s3prl)
    ours = our_side(runner, batch)
    check_equal(name, peer, ours)
    times = []
    for turn in range(WARM_UP + rounds):
        pair = (timed(peer.step), timed(ours.step))
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
        letters = random.choice(list("ETAOINSHRDLU "), round(length * LETTERS_PER_SECOND))
        items.append(Item(f"utterance-{number}", Recording("none.wav"), " ".join("".join(letters).split())))
        targets.append(runner.downstream.target(items[-1]))
    return runner, Batch(wavs, targets, items)


def our_side(runner: Any, batch: Batch) -> Side:
    """Our engine."""
    from s3prl.training.head import Head

    head = Head(runner)

    def loss() -> Tensor:
        runner.downstream.eval()
        with torch.no_grad():
            return runner.loss("dev-clean", runner.encode(batch), defaultdict(list), batch_id=0)

    def step() -> None:
        runner.downstream.train()
        head.apply(head.backward(runner.encode(batch), 1.0), 0.0)

    return Side(loss, step)


def public_side(runner: Any, batch: Batch, s3prl: Path) -> Side:
    """The public package's models with our initial weights, and an update as its runner does one."""
    from s3prl.downstream.asr.expert import DownstreamExpert
    from s3prl.downstream.specaug import SpecAug
    from s3prl.upstream.baseline.expert import UpstreamExpert
    from s3prl.upstream.interfaces import Featurizer

    upstream = UpstreamExpert(s3prl / "s3prl" / "upstream" / "baseline" / "fbank.yaml")
    featurizer = Featurizer(upstream, "hidden_states", "cpu")
    block = {**runner.expanded["downstream_expert"]}
    dictionary = (
        Path(runner.args.expdir) / "char.dict"
    )  # it wants counts, and adds the first four symbols itself
    dictionary.write_text("".join(f"{symbol} 1\n" for symbol in runner.downstream.dictionary.symbols[4:]))
    changed = {"dict_path": str(dictionary), "decoder_args": {"decoder_type": "None"}}
    block["datarc"] = {**block["datarc"], **changed}
    expert = DownstreamExpert(featurizer.output_dim, featurizer.downsample_rate, block, runner.args.expdir)
    expert.load_state_dict(runner.downstream.state_dict())
    specaug = SpecAug(**runner.expanded["specaug"]) if runner.expanded.get("specaug") else None
    parameters = [*featurizer.parameters(), *expert.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=runner.optimizer["lr"])
    wavs = [torch.from_numpy(wav) for wav in batch.wavs]
    names = [item.name for item in batch.items]
    records: dict[str, list] = defaultdict(list)

    def loss(augment: bool = False) -> Tensor:
        expert.train(augment)
        with torch.no_grad():
            outputs = upstream(wavs)
        features = featurizer(wavs, outputs)
        if augment and specaug is not None:
            features, _ = specaug(features)
        return expert("train", features, batch.targets, names, records=records)

    def step() -> None:
        loss(augment=True).backward()
        nn.utils.clip_grad_norm_(parameters, runner.settings.gradient_clipping)
        optimizer.step()
        optimizer.zero_grad()

    return Side(loss, step)


def check_equal(name: str, peer: Side, ours: Side) -> None:
    """Refuse to compare the speed of different things."""
    with torch.no_grad():
        theirs, own = float(peer.loss()), float(ours.loss())
    if not abs(theirs - own) <= SAME * abs(theirs):
        sys.exit(f"{name}: the peer's loss is {theirs:.6g}, ours is {own:.6g}")


def timed(step: Callable[[], None]) -> float:
    """Seconds of one update."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
