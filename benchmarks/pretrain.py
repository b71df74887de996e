"""Speed of pre-training TERA base against the public S3PRL's model, step by step in one process.

    pip install --no-deps --target /tmp/peer s3prl==0.4.18
    PUBLIC_S3PRL=/tmp/peer/s3prl python benchmarks/pretrain.py
    PUBLIC_S3PRL=/tmp/peer/s3prl python benchmarks/pretrain.py --frames 300 --batch 2 --rounds 3
    PUBLIC_S3PRL=/tmp/peer/s3prl python benchmarks/pretrain.py --device cuda --rounds 30

Both sides have pretrain/tera/config_model.yaml (3 layers of 768, 80 mel, dropout 0.1), the same weights, the
same altered batch with the same cells to restore, and AdamW_with_schedule as their runners build it; their
losses without dropout are compared before their speed is. A step is the forward pass, the loss, the backward
pass, gradient clipping and the update. Ours draws alterations anew in every step and computes the loss from
them; the peer, which draws them in its loading workers, is given them.

Utterances are between 9 / 10 of `--frames` and all of it long, as in a bucket. Each round runs both sides, so
that a busy machine disturbs both alike. The table has the median and the fastest step of each, the ratio peer
/ ours, and what both train on, in seconds of audio per second. On a GPU there is a second row, in bfloat16
(autocast on both sides).
"""

import argparse
import contextlib
import importlib
import importlib.util
import os
import statistics
import sys
import time
import types
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent
THREADS = 2
WARM_UP = 1  # rounds
SAME = 1e-3  # largest relative difference of the losses
FRAMES_PER_SECOND = 100
STEPS = 1000  # of the schedule
OPTIMIZER = {"lr": 2e-4, "warmup_proportion": 0.07}
UNUSED = {  # what the public module imports and a step does not need
    "pretrain.mockingjay.dataset": ("KaldiAcousticDataset", "OnlineAcousticDataset"),
    "upstream.baseline.extracter": ("get_extracter",),
    "upstream.baseline.preprocessor": ("get_preprocessor",),
    "utility.audio": ("plot_spectrogram_to_numpy",),
}


def main() -> None:
    """Measure and print the table."""
    options = parse()
    sys.path.insert(0, str(ROOT))
    torch.set_num_threads(THREADS)
    precisions = [False, True] if options.device == "cuda" else [False]
    name = torch.cuda.get_device_name() if options.device == "cuda" else f"CPU, {THREADS} threads"
    print(f"TERA base on {name}, {options.batch} utterances of up to {options.frames} frames")
    print(f"{'':10}{'peer s':>20}{'ours s':>20}{'ratio':>16}{'audio s per s':>20}")
    spread = "median       min"
    print(f"{'':10}{spread:>20}{spread:>20}{'median   min':>16}{'peer      ours':>20}")
    for half in precisions:
        seconds, times = measure(options, half)
        label = "bfloat16" if half else "float32"
        print(f"{label:10}{row(times, seconds)}", flush=True)


def parse() -> argparse.Namespace:
    """The options; ends the program where it cannot measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    named = os.environ.get("PUBLIC_S3PRL")
    public = "the public package's folder s3prl (default $PUBLIC_S3PRL)"
    parser.add_argument("--s3prl", type=Path, default=named and Path(named), help=public)
    parser.add_argument("--batch", type=int, default=8, help="utterances in a batch (default 8)")
    parser.add_argument("--frames", type=int, default=1500, help="of the longest (default 1500)")
    parser.add_argument("--rounds", type=int, default=5, help="measured steps of each side (default 5)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    if options.s3prl is None or not (options.s3prl / "pretrain" / "mockingjay").is_dir():
        parser.error(
            "this compares with the public package: pip install --no-deps --target /tmp/peer s3prl==0.4.18, "
            "then --s3prl /tmp/peer/s3prl"
        )
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU that PyTorch can use")
    return options


def measure(options: argparse.Namespace, half: bool) -> tuple[float, list[tuple[float, float]]]:
    """Seconds of audio in the batch, and (peer, ours) seconds of each round after those to warm up."""
    torch.manual_seed(0)
    expert = our_expert(options.device)
    frames = lengths(options.batch, options.frames)
    features = torch.randn(options.batch, options.frames, expert.fronts.dim, device=options.device)
    for utterance, valid in zip(features, frames, strict=True):
        utterance[valid:] = 0.0
    modules = public_modules(options.s3prl)
    peer = public_model(modules, expert).to(options.device)
    altered = public_batch(expert, features, frames)
    check_equal(peer, expert, altered, (features, features, frames))
    precision = torch.autocast(options.device, torch.bfloat16, enabled=half)
    theirs = updater(peer, public_optimizer(modules, peer), lambda: peer(*altered)[0], precision)
    data = (features, features, frames)
    ours = updater(expert, our_optimizer(expert), lambda: our_loss(expert, data), precision)
    times = []
    for turn in range(WARM_UP + options.rounds):
        pair = (timed(theirs, options.device), timed(ours, options.device))
        print(f"round {turn}: peer {pair[0]:.3f} s, ours {pair[1]:.3f} s", file=sys.stderr, flush=True)
        if turn >= WARM_UP:
            times.append(pair)
    return sum(frames) / FRAMES_PER_SECOND, times


def lengths(batch: int, longest: int) -> list[int]:
    """Frames of the utterances of a bucket, the longest first."""
    return [longest - round(longest * number / (10 * batch)) for number in range(batch)]


def our_expert(device: str) -> Any:
    """The expert of the published configuration."""
    from s3prl.pretrain.tera.pretrain_expert import UpstreamPretrainExpert
    from s3prl.utility.config import load_yaml

    config = load_yaml(ROOT / "pretrain" / "tera" / "config_model.yaml")
    datarc = {"train_batch_size": 8, "libri_root": "not read here"}
    return UpstreamPretrainExpert(datarc, config, device=device).to(device)


def our_loss(expert: Any, data: tuple[Tensor, Tensor, list[int]]) -> Tensor:
    """The loss of a batch, altered anew."""
    return expert(data, records=defaultdict(list), global_step=1, log_step=2)[0]


def our_optimizer(expert: Any) -> torch.optim.Optimizer:
    """As the runner builds it."""
    from s3prl.training.optimizers import get_optimizer

    return get_optimizer(list(expert.parts.values()), STEPS, {"name": "AdamW_with_schedule", **OPTIMIZER})


def public_modules(folder: Path) -> dict[str, Any]:
    """The public modules of the model and of the optimizers, loaded from their files."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.dict(sys.modules))
        for name, members in UNUSED.items():
            stand_in(name, members)
        load("upstream.mockingjay.model", folder / "upstream" / "mockingjay" / "model.py")
        expert = load("public_expert", folder / "pretrain" / "mockingjay" / "pretrain_expert.py")
        base = importlib.import_module("torch.optim.optimizer")
        if not hasattr(base, "required"):  # gone from recent PyTorch
            stack.enter_context(mock.patch.object(base, "required", None, create=True))
        return {"expert": expert, "optimizers": load("public_optimizers", folder / "optimizers.py")}


def load(name: str, path: Path) -> Any:
    """The module of a file, under a name that other modules import it by."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def stand_in(name: str, members: Sequence[str]) -> None:
    """Let names be imported that are never used."""
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        sys.modules[".".join(parts[:depth])] = types.ModuleType(".".join(parts[:depth]))
    vars(sys.modules[name]).update(dict.fromkeys(members))


def public_model(modules: dict[str, Any], expert: Any) -> nn.Module:
    """The public model with the weights of ours."""
    module = modules["expert"]
    config = module.TransformerConfig(expert.upstream_config["transformer"])
    model = module.TransformerForMaskedAcousticModel(config, expert.fronts.dim, output_dim=None)
    for name, part in expert.parts.items():
        getattr(model, name).load_state_dict(part.state_dict())
    return model


def public_optimizer(modules: dict[str, Any], model: nn.Module) -> torch.optim.Optimizer:
    """As the public runner builds it."""
    return modules["optimizers"].get_AdamW_with_schedule([model], total_steps=STEPS, **OPTIMIZER)


def public_batch(expert: Any, features: Tensor, frames: Sequence[int]) -> tuple[Tensor, ...]:
    """What the public model is given: altered input, positions, cells that count, mask, target."""
    from s3prl.pretrain.common.masked.task import alter
    from s3prl.upstream.common.mel_transformer.model import sinusoids

    altered = alter(features, frames, expert.task)
    cells = (altered.times[..., None] | altered.dims[:, None]) & altered.valid[..., None]
    hidden = expert.upstream_config["transformer"]["hidden_size"]
    positions = sinusoids(features.size(1), hidden).to(features).expand(len(features), -1, -1)
    return altered.features, positions, cells, altered.valid.float(), features


def check_equal(
    peer: nn.Module, expert: Any, given: tuple[Tensor, ...], data: tuple[Tensor, Tensor, list[int]]
) -> None:
    """Refuse to compare the speed of different things, by the losses of both sides without dropout."""
    from s3prl.pretrain.common.masked import expert as module
    from s3prl.pretrain.common.masked.task import Altered

    same = Altered(given[0], given[3].bool(), *_marked(given[2], given[3].bool()))
    peer.eval(), expert.eval()
    with torch.no_grad(), mock.patch.object(module, "alter", lambda *arguments: same):
        theirs, ours = float(peer(*given)[0]), float(our_loss(expert, data))
    peer.train(), expert.train()
    if not abs(theirs - ours) <= SAME * abs(theirs):
        sys.exit(f"The peer's loss is {theirs:.6g}, ours is {ours:.6g}.")


def _marked(cells: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Cells that count [batch, frames, dim] as whole frames and whole dimensions."""
    return cells.all(2), (cells | ~valid[..., None]).all(1)


def updater(
    model: nn.Module, optimizer: torch.optim.Optimizer, loss: Callable[[], Tensor], precision: Any
) -> Callable[[], None]:
    """A function that does one update."""
    parameters = list(model.parameters())

    def update() -> None:
        with precision:
            value = loss()
        value.backward()
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()
        optimizer.zero_grad()

    return update


def timed(step: Callable[[], None], device: str) -> float:
    """Seconds of a step, until the device has finished."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    step()
    wait()
    return time.perf_counter() - start


def row(times: list[tuple[float, float]], seconds: float) -> str:
    """Medians and minima of both sides, their ratios, and seconds of audio per second."""
    sides = [(statistics.median(side), min(side)) for side in zip(*times, strict=True)]
    cells = "".join(f"{median:10.3f}{least:10.3f}" for median, least in sides)
    ratios = [theirs / ours for theirs, ours in zip(*sides, strict=True)]
    speeds = "".join(f"{seconds / median:10.1f}" for median, _ in sides)
    return f"{cells}{ratios[0]:9.2f}{ratios[1]:7.2f}{speeds}"


if __name__ == "__main__":
    main()
