"""Acoustic features as an upstream: what a task scores without any learned representation."""

from pathlib import Path
from typing import Any

from torch import Tensor

from s3prl.utility.config import load_yaml
from s3prl.utility.errors import UserError
from s3prl.utility.paths import find_path

from ..features.pipeline import features_from_config
from ..features.stft import StftFeatures
from ..interfaces import UpstreamBase


class UpstreamExpert(UpstreamBase):
    """The features that a YAML file describes: fbank.yaml and its neighbours, or one like them.

    An utterance's values are those it has alone. In the public S3PRL those of a centred STFT (mel, linear)
    depend on the batch; `pad` in features/stft.py says how.
    """

    def __init__(
        self,
        ckpt: str | None = None,
        model_config: str | None = None,
        pad: str | None = None,
        public_batch: bool = False,
        **options: Any,
    ) -> None:
        """
        Args:
            ckpt: the same as `model_config`, which takes precedence (features have no weights).
            model_config: path of the YAML file, from the working folder or from the repository.
            pad: overrides the field `pad` of mel and linear configs.
            public_batch: give the public S3PRL's values for the batch (`pad: batch`), where the file does not
                say which.

        Raises:
            UserError: no such file, a field that does not exist or cannot work.
        """
        super().__init__(**options)
        if (given := model_config or ckpt) is None:
            raise UserError(
                "baseline_local needs a config file: -g FILE on the command line, model_config=FILE in "
                f"Python. Ready ones are in {Path(__file__).parent}."
            )
        path = find_path(given)
        config = load_yaml(path)
        if public_batch and "kaldi" not in config:
            config.setdefault("pad", "batch")
        if pad is not None:
            config["pad"] = pad
        self.name = f"[baseline {path.stem}]"
        self.features = features_from_config(config, str(path))
        self.batch_invariant = not (isinstance(self.features, StftFeatures) and self.features.pad == "batch")
        self.utterance_cmvn = self.features.cmvn
        self.output_dim = self.features.dim
        self.downsample_rate = self.features.shift

    def get_downsample_rates(self, key: str) -> int:
        """Samples per frame."""
        return self.downsample_rate

    def num_frames(self, samples: int) -> int:
        """Exact frames of an utterance of `samples`; 0 when it is too short for one."""
        return self.features.num_frames(samples)

    def forward(self, wavs: list[Tensor]) -> dict[str, Any]:
        """Unpadded [samples] wavs -> one [batch, frames, dim], zero after an utterance's end."""
        features, _ = self.features(wavs)
        return {"hidden_states": [features], "last_hidden_state": features}
