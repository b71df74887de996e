"""Who speaks in each frame of LibriSpeech, by a linear layer; frame accuracy."""

from functools import cached_property

import numpy as np
from torch import Tensor

from ..common.configured import ConfiguredFrameTask
from ..common.items import Item
from ..common.libri_speaker import SpeakerTask
from ..common.task import Records
from ..common.utterance import check_labels


class DownstreamExpert(SpeakerTask, ConfiguredFrameTask):
    """The speaker of an utterance is the label of each of its frames."""

    def label_rate(self, upstream_rate: int) -> int:
        """A label for every frame of the upstream."""
        return upstream_rate

    def check_items(self, split: str, items: list[Item]) -> None:
        """Of Task; also refuse speakers that training has not.

        Raises:
            UserError: names the split, the speakers and the first utterance of each.
        """
        super().check_items(split, items)
        check_labels(split, items, self.class_names)

    def target(self, item: Item) -> int:
        """The number of the speaker."""
        return self._numbers[item.label]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {speaker: number for number, speaker in enumerate(self.class_names)}

    def forward(
        self,
        split: str,
        features: list[Tensor],
        targets: list[int],
        items: list[Item],
        records: Records,
        **kwargs: object,
    ) -> Tensor:
        """Of FrameTask, with as many labels as there are frames."""
        of_frames = [
            np.full(len(feature), target, np.int64) for feature, target in zip(features, targets, strict=True)
        ]
        return super().forward(split, features, of_frames, items, records, **kwargs)
