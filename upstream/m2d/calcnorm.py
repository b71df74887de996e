"""The statistics pass in front of M2D: an upstream that only measures a task's log-mel."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

from torch import Tensor

from s3prl.utility import processes
from s3prl.utility.errors import UserError
from s3prl.utility.progress import Progress

from ..features.frames import check_lengths, check_wavs
from ..interfaces import UpstreamBase
from . import statistics as kept
from .features import HOP, LogMel

UPDATES = 10000  # batches


class StatisticsExpert(UpstreamBase):
    """Mean and standard deviation of the log-mel over batches, padding included, as M2D normalises them.

    `survey`, which the runner calls in place of a training, prints the statistics and keeps them for
    `-u m2d`. To anybody else it is a log-mel of 80 bands every 10 ms that reports once, after 10000 batches.
    """

    def __init__(
        self,
        ckpt: str | None = None,
        model_config: str | None = None,
        **options: Any,
    ) -> None:
        """`ckpt` and `model_config` are accepted and ignored: no weights are needed to measure."""
        super().__init__(**options)
        self.name = "[m2d_calcnorm]"
        self.updates = UPDATES
        self.features = LogMel(public_batch=True)  # M2D was evaluated with statistics of padded batches
        self._task: str | None = None
        self._reported = False
        self._forget()

    def for_task(self, task: str) -> None:
        """Keep the statistics under the name of this task."""
        self._task = task

    def get_downsample_rates(self, key: str) -> int:
        """Samples per frame.

        Who asks has not started: what was measured, the noise that a Featurizer tries first, is forgotten.
        """
        if not self._reported:
            self._forget()
        return HOP

    def num_frames(self, samples: int) -> int:
        """Exact frames of an utterance of `samples`; 0 when it is too short for one."""
        return self.features.num_frames(samples)

    def survey(self, batches: Iterable[list[Tensor]]) -> None:
        """Measure batches of unpadded [samples] wavs, at most 10000, then print and keep the statistics.

        Raises:
            UserError: there is no batch, or several processes.
        """
        self._forget()
        for wavs in islice(batches, self.updates):
            self._measure(wavs)
        if not self._running:
            raise UserError(f"{self.name} There is no batch to measure. Check the task's training data.")
        self._report()

    def forward(self, wavs: list[Tensor]) -> dict[str, Any]:
        """Unpadded [samples] wavs -> one [batch, frames, 80], the log-mel before normalisation.

        Raises:
            UserError: an utterance too short for one frame, or several processes.
        """
        if self._reported:
            features = self._log_mel(wavs)
        else:
            features = self._measure(wavs)
            if len(self._running) >= self.updates:
                self._report()
        return {"hidden_states": [features], "last_hidden_state": features}

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_bar": None}  # it writes to a terminal, and comes back by itself

    def _forget(self) -> None:
        self._running = kept.RunningStatistics()
        self._progress: Progress | None = None

    def _log_mel(self, wavs: list[Tensor]) -> Tensor:
        wavs = check_wavs(wavs)
        check_lengths(wavs, self.num_frames, self.name)
        return self.features(wavs)

    def _measure(self, wavs: list[Tensor]) -> Tensor:
        if processes.world_size() > 1:
            raise UserError("m2d_calcnorm measures in one process. Run it without torchrun.")
        features = self._log_mel(wavs)
        self._running.add(features)
        if self._progress is None:
            self._progress = Progress(self.updates, "statistics", "batches")
        self._progress.update()
        return features

    def _report(self) -> None:
        self._reported = True
        self._progress.close()
        statistics = self._running.result()
        if self._task is not None:
            print(f"{self.name} Kept in {kept.write(statistics, self._task)}, where -u m2d finds them.")
        print(
            f"*** Running Norm has finished updates over {len(self._running)} times, "
            "using the following stats from now on. ***\n"
            f"mean={statistics.mean}, std={statistics.std}\n"
            "*** Please use these statistics in your model. EXIT... ***",
            flush=True,
        )
