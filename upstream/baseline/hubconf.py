"""Names of the acoustic features; each has a YAML file of its name beside this one."""

from pathlib import Path
from typing import Any

_CONFIGS = Path(__file__).parent


def baseline_local(
    model_config: str | None = None, ckpt: str | None = None, config: str | None = None, **kwargs: Any
) -> Any:
    """Acoustic features of your own YAML file, given as `model_config` (or `config`, or `ckpt`)."""
    from .expert import UpstreamExpert

    return UpstreamExpert(ckpt=ckpt, model_config=model_config or config, **kwargs)


def ready_features(ckpt: str | None = None, **kwargs: Any) -> Any:
    """Features that lie in the folder `ckpt` (see preprocess/README.md), of the recordings that it knows."""
    from .ready import ReadyFeatures

    return ReadyFeatures(ckpt=ckpt, **kwargs)


def _named(name: str, ckpt: str | None = None, model_config: str | None = None, **kwargs: Any) -> Any:
    return baseline_local(model_config=model_config or str(_CONFIGS / f"{name}.yaml"), **kwargs)


def baseline(*args: Any, **kwargs: Any) -> Any:
    """The same as `fbank`."""
    return fbank(*args, **kwargs)


def fbank(*args: Any, **kwargs: Any) -> Any:
    """80 mel filter bank energies (Kaldi), deltas, deltas of deltas, normalised: 240 dimensions, 10 ms."""
    return _named("fbank", *args, **kwargs)


def fbank_no_cmvn(*args: Any, **kwargs: Any) -> Any:
    """`fbank` without normalisation: 240 dimensions, 10 ms."""
    return _named("fbank_no_cmvn", *args, **kwargs)


def mfcc(*args: Any, **kwargs: Any) -> Any:
    """13 cepstral coefficients (Kaldi), deltas, deltas of deltas, normalised: 39 dimensions, 10 ms."""
    return _named("mfcc", *args, **kwargs)


def spectrogram(*args: Any, **kwargs: Any) -> Any:
    """Log power spectrum (Kaldi), normalised: 257 dimensions, 10 ms."""
    return _named("spectrogram", *args, **kwargs)


def mel(*args: Any, **kwargs: Any) -> Any:
    """Log mel spectrogram of a centred STFT, normalised: 80 dimensions, 10 ms."""
    return _named("mel", *args, **kwargs)


def linear(*args: Any, **kwargs: Any) -> Any:
    """Log power spectrogram of a centred STFT, normalised: 201 dimensions, 10 ms."""
    return _named("linear", *args, **kwargs)
