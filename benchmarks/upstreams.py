"""Speed of our upstreams against the public S3PRL on the same weights, interleaved in one process.

    pip install --no-deps --target /tmp/peer s3prl==0.4.18
    python benchmarks/upstreams.py --s3prl /tmp/peer
    python benchmarks/upstreams.py --s3prl /tmp/peer --only tera,cpc --rounds 9

Forward passes of a batch of 8 utterances of 5 to 15 seconds, 2 threads. For each model a checkpoint of the
published size with random weights is written in the original format to a temporary folder, and both sides
load that file; their hidden states are compared before their speed is. Each round runs both sides once, so
that a busy machine disturbs both alike; the table has the median and the fastest round of each in
milliseconds and the ratio peer / ours of both. Where a GPU is at hand, the same follows there in float32 and
under bfloat16 autocast. torchaudio's compiled part is not needed.
"""

import argparse
import contextlib
import gc
import importlib
import io
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
SAMPLE_RATE = 16000  # Hz
UTTERANCES = 8
SECONDS = (5, 15)
THREADS = 2
WARM_UP = 1  # rounds
SAME = 1e-2  # largest difference of a hidden state where no padding is near, relative to its largest value

CONVOLUTIONS = "[(512,10,5)] + [(512,3,2)] * 4 + [(512,2,2)] * 2"
BASE = {
    "extractor_mode": "default",
    "encoder_layers": 12,
    "encoder_embed_dim": 768,
    "encoder_ffn_embed_dim": 3072,
    "encoder_attention_heads": 12,
    "final_dim": 256,
    "layer_norm_first": False,
    "conv_feature_layers": CONVOLUTIONS,
    "conv_bias": False,
}
LARGE = {
    **BASE,
    "extractor_mode": "layer_norm",
    "encoder_layers": 24,
    "encoder_embed_dim": 1024,
    "encoder_ffn_embed_dim": 4096,
    "encoder_attention_heads": 16,
    "final_dim": 768,
    "layer_norm_first": True,
}


class Setting(NamedTuple):
    """Where the models run, and in which precision."""

    device: str
    bfloat16: bool

    def __str__(self) -> str:
        if self.device == "cpu":
            return f"CPU, {torch.get_num_threads()} threads"
        return f"{torch.cuda.get_device_name()}, {'bfloat16 autocast' if self.bfloat16 else 'float32'}"


def main() -> None:
    """Measure and print the tables."""
    arguments = parse_arguments(arguments_parser(__doc__, MODELS))
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "upstream")]
    prepare_imports()
    torch.set_num_threads(THREADS)
    settings = [Setting("cpu", False)]
    if torch.cuda.is_available():
        settings += [Setting("cuda", False), Setting("cuda", True)]
    generator = torch.Generator().manual_seed(0)
    low, high = (second * SAMPLE_RATE for second in SECONDS)
    lengths = torch.randint(low, high + 1, (UTTERANCES,), generator=generator).tolist()
    wavs = [0.1 * torch.randn(length, generator=generator) for length in lengths]
    print(f"{UTTERANCES} utterances, {sum(lengths) / SAMPLE_RATE:.0f} s of audio")
    for setting in settings:
        print(f"\n{setting}\n{'':12}{'peer ms':>20}{'ours ms':>20}{'ratio':>16}")
        print(f"{'model':12}{'median       min':>20}{'median       min':>20}{'median   min':>16}")
        for name in arguments.only:
            times = measure(name, arguments.s3prl, wavs, setting, arguments.rounds)
            print(f"{name:12}{columns(times)}", flush=True)


def arguments_parser(description: str, contests: Iterable[str]) -> argparse.ArgumentParser:
    """Options of a benchmark whose peer is the public package; `--only` chooses among the contests."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ",".join(contests)
    add = parser.add_argument
    add("--s3prl", type=Path, required=True, help="folder into which the public s3prl package was installed")
    add("--rounds", type=int, default=5, help="measured rounds (default 5)")
    add("--only", type=lambda text: text.split(","), default=names.split(","), help=f"of {names}")
    return parser


def parse_arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options of the command line; ends the program where they cannot be."""
    arguments, known = parser.parse_args(), parser.get_default("only")
    if not (arguments.s3prl / "s3prl" / "upstream").is_dir():
        parser.error(f"{arguments.s3prl} has no s3prl: pip install --no-deps --target DIR s3prl==0.4.18")
    if unknown := set(arguments.only) - set(known):
        parser.error(f"--only knows {', '.join(known)}, not {', '.join(sorted(unknown))}")
    return arguments


def prepare_imports() -> None:
    """Let the public package find what it needs: torchaudio's Python part, and distutils on new Pythons."""
    from oracle import torchaudio_or_skip

    warnings.simplefilter("ignore")
    with contextlib.suppress(ImportError):
        importlib.import_module("setuptools")
    torchaudio_or_skip()


@contextlib.contextmanager
def public_package(folder: Path) -> Iterator[None]:
    """Inside, the name `s3prl` means the public package; what was built there goes on working outside."""

    def take_out() -> dict[str, Any]:
        names = [name for name in sys.modules if name.split(".")[0] == "s3prl"]
        return {name: sys.modules.pop(name) for name in names}

    ours = take_out()
    sys.path.insert(0, str(folder))
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        sys.path.remove(str(folder))
        take_out()
        sys.modules.update(ours)


def public_module(name: str) -> Any:
    """A module of the public package's upstreams; inside `public_package` only."""
    return importlib.import_module(f"s3prl.upstream.{name}")


def wav2vec2_checkpoint() -> dict[str, Any]:
    """A wav2vec 2.0 of the base size, as converted checkpoints hold it."""
    module = public_module("wav2vec2.wav2vec2_model")
    weights = module.Wav2Vec2Model(module.Wav2Vec2Config(**BASE, quantize_targets=True)).state_dict()
    config = {**BASE, "quantize_targets": True}
    return {"task_cfg": {"normalize": False}, "model_cfg": config, "model_weight": weights}


def hubert_checkpoint(size: Mapping[str, Any] = BASE, normalize: bool = False) -> dict[str, Any]:
    """A HuBERT, of the base size if nothing else is said, as converted checkpoints hold it."""
    module = public_module("hubert.hubert_model")
    config = {**size, "label_rate": 50.0}
    task = {"label_rate": 50.0, "sample_rate": 16000, "normalize": normalize}
    symbols = [[str(number) for number in range(504)]]
    model = module.HubertModel(module.HubertConfig(**config), module.HubertPretrainingConfig(**task), symbols)
    weights = model.state_dict()
    return {"task_cfg": task, "model_cfg": config, "model_weight": weights, "dictionaries_symbols": symbols}


def hubert_large_checkpoint() -> dict[str, Any]:
    """A HuBERT of the large size, with layer norms in its convolutions."""
    return hubert_checkpoint(LARGE, normalize=True)


def wavlm_checkpoint() -> dict[str, Any]:
    """A WavLM of the base size, as published."""
    module = public_module("wavlm.WavLM")
    config = {**BASE, "relative_position_embedding": True, "gru_rel_pos": True, "max_distance": 800}
    return {"cfg": config, "model": module.WavLM(module.WavLMConfig(config)).state_dict()}


def tera_checkpoint() -> dict[str, Any]:
    """A TERA of the published size, as its pre-training saves it."""
    module = public_module("mockingjay.model")
    transformer = {
        "hidden_size": 768,
        "num_hidden_layers": 3,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-12,
        "share_layer": False,
        "pre_layer_norm": False,
    }
    feature = {"feat_type": "mel", "log": True, "delta": 0, "cmvn": True}
    audio = {"target_level": -25, "win_ms": 25, "hop_ms": 10, "n_freq": 201, "n_mels": 80, "n_mfcc": 13}
    audio |= {"input": {**feature, "channel": 0}, "target": {**feature, "channel": 1}}
    config = {"transformer": transformer, "task": {"sequence_length": 1500}, "audio": audio}
    settings = module.TransformerConfig(transformer)
    return {
        "Config": config,
        "Transformer": module.TransformerModel(settings, 80).state_dict(),
        "SpecHead": module.TransformerSpecPredictionHead(settings, 80).state_dict(),
        "Global_step": 1000000,
    }


def cpc_checkpoint() -> dict[str, Any]:
    """A modified CPC of the published size."""
    config = public_module("cpc.cpc_default_config").get_default_cpc_config()
    config.arMode, config.nLevelsGRU, config.normMode = "LSTM", 2, "layerNorm"
    loader = public_module("cpc.feature_loader")
    model = public_module("cpc.model").CPCModel(loader.getEncoder(config), loader.getAR(config))
    return {"config": vars(config), "weights": model.state_dict()}


MODELS: dict[str, Callable[[], dict[str, Any]]] = {
    "tera": tera_checkpoint,
    "cpc": cpc_checkpoint,
    "wav2vec2": wav2vec2_checkpoint,
    "hubert": hubert_checkpoint,
    "wavlm": wavlm_checkpoint,
    "hubert_large": hubert_large_checkpoint,
}


def measure(
    name: str, s3prl: Path, wavs: list[Tensor], setting: Setting, rounds: int
) -> list[tuple[float, float]]:
    """(peer, ours) in milliseconds for each round after those to warm up."""
    gc.collect()  # the models of the row before
    peer, ours = (model.to(setting.device).eval() for model in both_sides(name, s3prl))
    wavs = [wav.to(setting.device) for wav in wavs]
    times = []
    with torch.no_grad(), torch.autocast(setting.device, torch.bfloat16, enabled=setting.bfloat16):
        check_equal(name, peer, ours, wavs, tolerance=10 * SAME if setting.bfloat16 else SAME)
        for turn in range(WARM_UP + rounds):
            pair = (timed(peer, wavs), timed(ours, wavs))
            if turn >= WARM_UP:
                times.append(pair)
    return times


def both_sides(name: str, s3prl: Path) -> tuple[nn.Module, nn.Module]:
    """The peer's model and ours, from one file of random weights."""
    torch.manual_seed(0)
    family = name.removesuffix("_large")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "checkpoint.pt")
        with public_package(s3prl):
            torch.save(MODELS[name](), path)
            peer = public_module(f"{family}.expert").UpstreamExpert(path)
        from s3prl import hub

        return peer, hub.get(f"{family}_local")(ckpt=path)


def check_equal(name: str, peer: nn.Module, ours: nn.Module, wavs: list[Tensor], tolerance: float) -> None:
    """Refuse to compare the speed of different things.

    Compared are all utterances where both sides give the values of the padded batch; where padding changes
    nothing of ours, the longest only.
    """
    theirs, own = peer(wavs)["hidden_states"], ours(wavs)["hidden_states"]
    lengths = [len(wav) for wav in wavs]
    rows = [lengths.index(max(lengths))] if ours.batch_invariant else range(len(wavs))
    if len(theirs) != len(own):
        sys.exit(f"{name}: the peer has {len(theirs)} hidden states, we have {len(own)}")
    for layer, (their, our) in enumerate(zip(theirs, own, strict=True)):
        for row in rows:
            frames = min(ours.num_frames(lengths[row]), their.size(1), our.size(1))
            largest = their[row, :frames].abs().max()
            difference = (their[row, :frames] - our[row, :frames]).abs().max() / largest
            if not difference <= tolerance:
                sys.exit(f"{name}: layer {layer} of utterance {row} differs by {difference:.2g}, relatively")


def timed(model: nn.Module, wavs: list[Tensor]) -> float:
    """Milliseconds of one forward pass, until the device has finished."""
    if wavs[0].is_cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    model(wavs)
    if wavs[0].is_cuda:
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - start)


def columns(times: list[tuple[float, float]], digits: int = 1) -> str:
    """Medians and minima of both sides, and their ratios."""
    sides = [(statistics.median(side), min(side)) for side in zip(*times, strict=True)]
    cells = "".join(f"{median:10.{digits}f}{least:10.{digits}f}" for median, least in sides)
    ratios = [their / our for their, our in zip(*sides, strict=True)]
    return f"{cells}{ratios[0]:9.2f}{ratios[1]:7.2f}"


if __name__ == "__main__":
    main()
