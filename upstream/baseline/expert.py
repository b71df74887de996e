"""Acoustic features as an upstream: what a task scores without any learned representation."""

from pathlib import Path
from typing import Any

from torch import Tensor

from s3prl.utility.config import load_yaml
from s3prl.utility.errors import UserError

from ..features.frames import check_lengths, check_wavs
from ..features.pipeline import features_from_config
from ..interfaces import UpstreamBase

REPOSITORY = Path(__file__).resolve().parents[2]


class UpstreamExpert(UpstreamBase):
    """The features that a YAML file describes: fbank.yaml and its neighbours, or one like them.

    The values of the Kaldi features (fbank, mfcc, spectrogram) do not depend on the rest of the batch; for
    those of a centred STFT (mel, linear) see `pad` in features/stft.py.
    """

    def __init__(
        self,
        ckpt: str | None = None,
        model_config: str | None = None,
        pad: str | None = None,
        alone: bool = False,
        **options: Any,
    ) -> None:
        """
        Args:
            ckpt: the same as `model_config`, which goes before it (features have no weights).
            model_config: path of the YAML file, from the working folder or from the repository.
            pad: overrides the field `pad` of mel and linear configs.
            alone: give every utterance the values it has alone, in any batch (`pad` is reflect_each then).

        Raises:
            UserError: no such file, a field that does not exist or cannot work.
        """
        super().__init__(**options)
        path = _find(model_config or ckpt)
        config = load_yaml(path)
        if alone and "kaldi" not in config:
            pad = "reflect_each"
        if pad is not None:
            config["pad"] = pad
        self.leaks_padding = "kaldi" not in config and config.get("pad", "batch") == "batch"
        self.name = f"[baseline {path.stem}]"
        self.features = features_from_config(config, str(path))
        self.output_dim = self.features.dim
        self.downsample_rate = self.features.shift

    def get_downsample_rates(self, key: str) -> int:
        """Samples per frame."""
        return self.downsample_rate

    def num_frames(self, samples: int) -> int:
        """Exact frames of an utterance of `samples`; 0 when it is too short for one."""
        return self.features.num_frames(samples)

    def forward(self, wavs: list[Tensor]) -> dict[str, Any]:
        """Unpadded [samples] wavs -> one [batch, frames, dim], zero after an utterance's end.

        Raises:
            UserError: an utterance too short for one frame (named by its place in the batch).
        """
        wavs = check_wavs(wavs)
        check_lengths(wavs, self.num_frames, self.name)
        features, _ = self.features(wavs)
        return {"hidden_states": [features], "last_hidden_state": features}


def _find(path: str | None) -> Path:
    """The config file, from the working folder or else from the repository."""
    if path is None:
        raise UserError(
            "baseline_local needs a config file: -g FILE on the command line, model_config=FILE in Python. "
            f"Ready ones are in {Path(__file__).parent}."
        )
    here = Path(path).expanduser()
    there = REPOSITORY / here
    return there if there.is_file() and not here.is_file() else here
