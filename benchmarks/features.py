"""Speed of our acoustic features against torchaudio and the public S3PRL, interleaved in one process.

    python benchmarks/features.py                      # peers built from torchaudio's own functions
    pip install --no-deps --target /tmp/peer s3prl==0.4.18
    python benchmarks/features.py --s3prl /tmp/peer    # the public package's own feature code as the peer

Batches of 16 utterances of 8 to 15 seconds, 2 threads. Each round runs every contestant once, so that a busy
machine disturbs all alike; the table has the median and the fastest round of each in milliseconds and the
ratio peer / ours of both. Where a GPU is at hand, the same follows there. torchaudio's compiled part is not
needed.
"""

import argparse
import importlib.util
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

ROOT = Path(__file__).resolve().parents[1]
SAMPLE_RATE = 16000  # Hz
UTTERANCES = 16
SECONDS = (8, 15)
THREADS = 2

Extract = Callable[[list[Tensor]], Tensor]


class Contest(NamedTuple):
    """One feature: what the peer does, what we do, and the ratio the project promises on a CPU."""

    name: str
    peer: Extract
    ours: Extract
    wanted: float


def main() -> None:
    """Measure and print the tables."""
    arguments = parse_arguments()
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "upstream")]
    warnings.filterwarnings("ignore", message="At least one mel filterbank")
    torch.set_num_threads(THREADS)
    generator = torch.Generator().manual_seed(0)
    low, high = (second * SAMPLE_RATE for second in SECONDS)
    lengths = torch.randint(low, high + 1, (UTTERANCES,), generator=generator).tolist()
    wavs = [0.1 * torch.randn(length, generator=generator) for length in lengths]
    peer = "the public s3prl package" if arguments.s3prl else "constructs of torchaudio functions"
    print(f"{UTTERANCES} utterances, {sum(lengths) / SAMPLE_RATE:.0f} s of audio; peers: {peer}")
    for device in ["cpu"] + ["cuda"] * torch.cuda.is_available():
        contests = build_contests(arguments.s3prl, device)
        on_device = [wav.to(device) for wav in wavs]
        check_equal(contests, on_device)
        times = measure(contests, on_device, arguments.rounds)
        print_table(contests, times, device)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--s3prl", type=Path, help="folder into which the public s3prl package was installed")
    parser.add_argument("--rounds", type=int, default=15, help="measured rounds (default 15)")
    return parser.parse_args()


def build_contests(s3prl: Path | None, device: str) -> list[Contest]:
    """All contests with everything built that is built once."""
    from oracle import torchaudio_or_skip

    from s3prl.upstream.features.kaldi import KaldiFeatures
    from s3prl.upstream.features.pipeline import features_from_config
    from s3prl.utility.config import load_yaml

    torchaudio = torchaudio_or_skip()
    fbank, mel = (load_yaml(ROOT / "upstream" / "baseline" / f"{name}.yaml") for name in ("fbank", "mel"))
    options = fbank["kaldi"]["fbank"]
    if s3prl:
        peers = [public_fbank(s3prl, fbank), PublicMel(s3prl, mel)]
    else:
        peers = [FbankDeltasCmvn(torchaudio, options), LogMelCmvn(torchaudio)]
    deltas_cmvn, log_mel = (module.to(device).eval() for module in peers)
    kaldi_fbank = partial(torchaudio.compliance.kaldi.fbank, sample_frequency=SAMPLE_RATE, **options)
    looped = partial(loop, lambda wav: kaldi_fbank(wav[None]))
    return [
        Contest("fbank", looped, first_of(KaldiFeatures("fbank", **options)), 1.8),
        Contest(
            "fbank + deltas + cmvn", partial(loop, deltas_cmvn), first_of(features_from_config(fbank)), 3.0
        ),
        Contest("mel", log_mel, first_of(features_from_config({**mel, "pad": "batch"})), 3.0),
    ]


def loop(extract: Callable[[Tensor], Tensor], wavs: list[Tensor]) -> Tensor:
    """One utterance after the other, padded at the end, as the public package works."""
    return pad_sequence([extract(wav) for wav in wavs], batch_first=True)


def first_of(extracter: nn.Module) -> Extract:
    """The features alone, without the number of frames."""
    return lambda wavs: extracter(wavs)[0]


def public_module(s3prl: Path, name: str) -> ModuleType:
    """A file of the public package under a name of its own (its package name is also ours)."""
    path = s3prl / "s3prl" / "upstream" / "baseline" / f"{name}.py"
    if not path.is_file():
        sys.exit(f"{path} does not exist: pip install --no-deps --target {s3prl} s3prl==0.4.18")
    spec = importlib.util.spec_from_file_location(f"public_s3prl_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def public_fbank(s3prl: Path, config: dict[str, Any]) -> nn.Module:
    """The public package's fbank of one wav with deltas and normalisation."""
    return public_module(s3prl, "extracter").get_extracter(config)[0]


class PublicMel(nn.Module):
    """The public package's mel of a batch, through its OnlinePreprocessor."""

    def __init__(self, s3prl: Path, config: dict[str, Any]) -> None:
        super().__init__()
        config = {name: value for name, value in config.items() if name != "pad"}
        get_preprocessor = public_module(s3prl, "preprocessor").get_preprocessor
        self.preprocessor = get_preprocessor(config, process_input_only=True)[0]

    def forward(self, wavs: list[Tensor]) -> Tensor:
        """[batch, frames, mels]"""
        return self.preprocessor(pad_sequence(wavs, batch_first=True)[:, None])[0]


class FbankDeltasCmvn(nn.Module):
    """Stand-in for the public fbank: torchaudio's fbank and ComputeDeltas, statistics per utterance."""

    def __init__(self, torchaudio: ModuleType, options: dict[str, Any]) -> None:
        super().__init__()
        fbank = torchaudio.compliance.kaldi.fbank
        self.fbank = partial(fbank, sample_frequency=SAMPLE_RATE, **options)
        self.deltas = torchaudio.transforms.ComputeDeltas(win_length=5)

    def forward(self, wav: Tensor) -> Tensor:
        """[samples] -> [frames, 3 * mels]"""
        statics = self.fbank(wav[None]).T[None]
        first = self.deltas(statics)
        features = torch.cat([statics, first, self.deltas(first)], 1)[0].T
        return (features - features.mean(0)) / (features.std(0) + 1e-10)


class LogMelCmvn(nn.Module):
    """Stand-in for the public mel, which works out phase and mfcc as well, whatever is asked for."""

    def __init__(self, torchaudio: ModuleType) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(400))
        self.mel = torchaudio.transforms.MelScale(n_mels=80)
        settings = {"n_fft": 400, "hop_length": 160, "win_length": 400}
        self.mfcc = torchaudio.transforms.MFCC(n_mfcc=13, log_mels=True, melkwargs=settings)

    def forward(self, wavs: list[Tensor]) -> Tensor:
        """[batch, frames, mels]"""
        padded = pad_sequence(wavs, batch_first=True)
        spectra = torch.stft(padded, 400, 160, 400, self.window, pad_mode="reflect", return_complex=True)
        power, _ = spectra.abs().pow(2), spectra.angle()
        log_mel = (self.mel(power) + 1e-10).log()
        self.mfcc(padded)
        ratio = padded.size(1) / log_mel.size(2)
        normalised = []
        for one, wav in zip(log_mel, wavs, strict=True):
            valid = one[:, : round(len(wav) / ratio)]
            normalised.append(
                ((valid - valid.mean(1, keepdim=True)) / (valid.std(1, keepdim=True) + 1e-10)).T
            )
        return pad_sequence(normalised, batch_first=True)


def check_equal(contests: list[Contest], wavs: list[Tensor]) -> None:
    """Refuse to compare the speed of different things."""
    for contest in contests:
        with torch.no_grad():
            theirs, ours = contest.peer(wavs), contest.ours(wavs)
        padding = theirs == 0  # the peer's count of frames differs by one in some utterances
        difference = (theirs - ours[:, : theirs.size(1)]).masked_fill(padding, 0.0).abs()
        if difference.median() > 1e-4 or difference.max() > 0.05:
            sys.exit(f"{contest.name}: ours and the peer's differ by up to {difference.max():.2g}")


@torch.no_grad()
def measure(contests: list[Contest], wavs: list[Tensor], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """(peer, ours) in milliseconds for each round after two to warm up."""
    times: dict[str, list[tuple[float, float]]] = {contest.name: [] for contest in contests}
    for turn in range(rounds + 2):
        for contest in contests:
            pair = (timed(contest.peer, wavs), timed(contest.ours, wavs))
            if turn >= 2:
                times[contest.name].append(pair)
    return times


def timed(extract: Extract, wavs: list[Tensor]) -> float:
    """Milliseconds of one call, until the device has finished."""
    if wavs[0].is_cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    extract(wavs)
    if wavs[0].is_cuda:
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - start)


def print_table(contests: list[Contest], times: dict[str, list[tuple[float, float]]], device: str) -> None:
    """Medians and minima of both sides, and their ratios."""
    where = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"\n{where}\n{'':22}{'peer ms':>18}{'ours ms':>18}{'ratio':>16}")
    print(f"{'feature':22}{'median     min':>18}{'median     min':>18}{'median   min':>16}  wanted")
    for contest in contests:
        peer, ours = zip(*times[contest.name], strict=True)
        figures = [(statistics.median(side), min(side)) for side in (peer, ours)]
        cells = "".join(f"{median:11.1f}{least:7.1f}" for median, least in figures)
        ratios = [their / our for their, our in zip(*figures, strict=True)]
        wanted = 10.0 if device == "cuda" else contest.wanted
        print(f"{contest.name:22}{cells}{ratios[0]:9.1f}{ratios[1]:7.1f}  {wanted:6.1f}")


if __name__ == "__main__":
    main()
