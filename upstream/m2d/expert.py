"""M2D as an upstream."""

import sys
from typing import Any

from torch import Tensor

from s3prl.utility.errors import UserError

from ..features.frames import valid_mask
from ..interfaces import UpstreamBase
from . import statistics as kept
from .features import HOP, LogMel
from .loading import USAGE, Statistics, load, parse_ckpt


class UpstreamExpert(UpstreamBase):
    """M2D's encoder: one hidden state per block, the last one behind the final layer norm.

    An utterance's values are those it has alone: padding is masked. With `public_batch` it is not, as M2D was
    evaluated, and the values depend on how far the batch is padded. Time steps are as many times 10 ms apart
    as a patch is wide.
    """

    def __init__(
        self,
        ckpt: str | None = None,
        model_config: str | None = None,
        norm_mean: float | None = None,
        norm_std: float | None = None,
        public_batch: bool = False,
        **options: Any,
    ) -> None:
        """
        Args:
            ckpt: FILE,MEAN,STD, or FILE alone.
            model_config: accepted and ignored: a checkpoint says all.
            norm_mean: of the task's log-mel; wins over that of `ckpt`, as does `norm_std`. Without any,
                `for_task` looks for the task's; until then those of pre-training are used.
            norm_std: see `norm_mean`; both or none.
            public_batch: give the values of the public code for the batch, padding included.

        Raises:
            UserError: no file, not a checkpoint of M2D, statistics that cannot be.
        """
        super().__init__(**options)
        self.name = "[m2d]"
        file, given = parse_ckpt(ckpt)
        if norm_mean is not None or norm_std is not None:
            given = Statistics.checked(norm_mean, norm_std, "norm_mean, norm_std")
        self.batch_invariant = not public_batch
        self.features = LogMel(public_batch)
        self.model, pretraining = load(file)
        self._given = given is not None
        self.statistics = given or pretraining

    def for_task(self, task: str) -> None:
        """Use the statistics that m2d_calcnorm kept for `task`, unless some were given."""
        if self._given:
            return
        found = kept.read(task, self.folders)
        if found is not None:
            self.statistics, path = found
            print(f"{self.name} mean={self.statistics.mean}, std={self.statistics.std} from {path}")
        elif self.statistics is not None:
            print(
                f"{self.name} No statistics of {task}: using those of pre-training. -u m2d_calcnorm measures "
                "the task's.",
                file=sys.stderr,
            )

    def get_downsample_rates(self, key: str) -> int:
        """Samples per time step."""
        return HOP * self.model.sizes.width

    def num_frames(self, samples: int) -> int:
        """Exact time steps of an utterance of `samples`; 0 when it is too short for one."""
        return self.model.num_frames(self.features.num_frames(samples))

    def forward(self, wavs: list[Tensor]) -> dict[str, Any]:
        """Unpadded [samples] wavs -> one [batch, steps, rows of patches * dim] per block.

        Raises:
            UserError: there are no statistics to normalise with.
        """
        if self.statistics is None:
            raise UserError(f"The checkpoint holds no statistics, and none were given. {USAGE}")
        mean, std = self.statistics
        spectrogram, valid = (self.features(wavs) - mean) / std, None
        if self.batch_invariant:
            spectrogram, valid = self._without_padding(spectrogram, [len(wav) for wav in wavs])
        layers = self.model(spectrogram, valid)
        return {"hidden_states": layers, "last_hidden_state": layers[-1]}

    def _without_padding(self, spectrogram: Tensor, lengths: list[int]) -> tuple[Tensor, Tensor]:
        """Zeros where utterances of `lengths` in samples have ended; True for the steps they last."""
        (_, frames, _), device = spectrogram.shape, spectrogram.device
        inside = valid_mask([self.features.num_frames(samples) for samples in lengths], frames, device)
        steps = [self.num_frames(samples) for samples in lengths]
        valid = valid_mask(steps, self.model.num_frames(frames), device)[..., 0]
        return spectrogram.masked_fill(~inside, 0.0), valid
