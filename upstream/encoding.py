"""The first of three steps from waves to features: encoding. Mixing of layers and augmentation follow."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .grouping import in_equal_lengths
from .interfaces import traits_of
from .waves import Wav, prepared


class Encoder:
    """Waves in, the upstream's outputs out; how it is run is decided here and nowhere else.

    Attributes: `upstream`, `device`, `batch_invariant` (every utterance has the values it has alone).
    """

    def __init__(self, upstream: nn.Module, device: str | torch.device, alone: bool = False) -> None:
        """
        Args:
            upstream: on `device`.
            alone: give every utterance the values it has alone. A model that does not promise to do so by
                itself computes utterances of different length apart.
        """
        self.upstream, self.device = upstream, torch.device(device)
        traits = traits_of(upstream)
        promised, self._source = traits.batch_invariant, traits.source
        self.batch_invariant = promised or alone
        self._run = upstream if promised or not alone else self._apart

    def __call__(self, wavs: Sequence[Wav]) -> dict[str, Any]:
        """The outputs for unpadded [samples] waves at 16 kHz, with gradients only in training mode.

        Of an upstream with a `source`, for what that has found.
        """
        if self._source is not None:
            return self._run(list(wavs))
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.upstream.training):
            return self._run(self.tensors(wavs))

    def tensors(self, wavs: Sequence[Wav]) -> list[Tensor]:
        """The waves on the device, as float32 [samples]; raises a UserError where they are not that."""
        # On the CPU the upstream checks samples itself; of utterances apart it does not know their place.
        finite = self.device.type != "cpu" or self._run is not self.upstream
        ready = prepared(wavs, torch.device("cpu"), finite=finite)
        return [wav.to(self.device, non_blocking=True) for wav in ready]

    def _apart(self, wavs: list[Tensor]) -> dict[str, Any]:
        return in_equal_lengths(self.upstream, wavs)
