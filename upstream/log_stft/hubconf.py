"""Names of the STFT magnitudes."""

from pathlib import Path
from typing import Any

_CONFIGS = Path(__file__).parent


def _named(name: str, model_config: str | None = None, ckpt: str | None = None, **kwargs: Any) -> Any:
    from .expert import UpstreamExpert

    return UpstreamExpert(model_config=model_config or ckpt or str(_CONFIGS / f"{name}.yaml"), **kwargs)


def log_stft(*args: Any, **kwargs: Any) -> Any:
    """Log magnitude of a centred STFT: 257 dimensions, 20 ms (`model_config`: a YAML file of your own)."""
    return _named("log_stft_mag", *args, **kwargs)


def stft_mag(*args: Any, **kwargs: Any) -> Any:
    """Magnitude of a centred STFT: 257 dimensions, 20 ms (`model_config`: a YAML file of your own)."""
    return _named("stft_mag", *args, **kwargs)
