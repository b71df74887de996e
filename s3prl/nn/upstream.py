"""Any upstream on a padded batch of waves, with the names, shapes and lengths of the public S3PRL.

ESPnet and other toolkits use models through these two classes:

    upstream = S3PRLUpstream("hubert").eval()
    featurizer = Featurizer(upstream)
    features, lengths = featurizer(*upstream(waves, waves_len))
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import s3prl.util.download  # noqa: F401  ESPnet calls s3prl.util.download.set_dir after importing this
from s3prl import hub
from s3prl.upstream.interfaces import SAMPLE_RATE, TOLERATED_FRAMES, probe, traits_of
from s3prl.utility.errors import UserError

SHORTEST = SAMPLE_RATE // 20  # samples, 50 ms


class S3PRLUpstream(nn.Module):
    """An upstream by name, which takes a padded batch and returns all its layers with their lengths.

    Attributes: `upstream`, the model itself.
    """

    @classmethod
    def available_names(cls, only_registered_ckpt: bool = False) -> list[str]:
        """Names of upstreams; with `only_registered_ckpt` those that need no checkpoint from the user."""
        return hub.options(only_registered_ckpt)

    def __init__(
        self,
        name: str,
        path_or_url: str | None = None,
        refresh: bool = False,
        normalize: bool = False,
        extra_conf: dict[str, Any] | None = None,
        randomize: bool = False,
    ) -> None:
        """
        Args:
            name: of the hub, such as `hubert`.
            path_or_url: a checkpoint, for names that take one.
            refresh: download again.
            normalize: normalise every layer over its dimensions (layer norm without affine).
            extra_conf: further options of the hub entry, such as `{"public_batch": True}`.
            randomize: replace all weights by random ones, for controls without pre-training.

        Raises:
            UserError: no such upstream, or what its entry says about the checkpoint or an option.
        """
        super().__init__()
        options = {"refresh": refresh, **(extra_conf or {})}
        if path_or_url is not None:
            options["ckpt"] = path_or_url
        self.upstream = hub.get(name)(**options)
        if randomize:
            _randomize(self.upstream)
        self.normalize = normalize
        hidden_states = probe(self.upstream, "cpu", SAMPLE_RATE)["hidden_states"]
        self._hidden_sizes = [layer.size(-1) for layer in hidden_states]
        strides = self.upstream.get_downsample_rates("hidden_states")
        self._downsample_rates = [strides] * len(hidden_states) if isinstance(strides, int) else list(strides)
        self.upstream.train(self.training)

    @property
    def num_layers(self) -> int:
        """How many layers are returned."""
        return len(self._hidden_sizes)

    @property
    def downsample_rates(self) -> list[int]:
        """Samples (at 16 kHz) per frame of each layer."""
        return self._downsample_rates

    @property
    def hidden_sizes(self) -> list[int]:
        """Dimensions of each layer."""
        return self._hidden_sizes

    def forward(self, wavs: Tensor, wavs_len: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Layers of a padded batch; an utterance has one frame per stride begun, as in the public S3PRL.

        Args:
            wavs: [batch, samples] or [batch, samples, 1] at 16 kHz, on the model's device.
            wavs_len: [batch], samples of each utterance.

        Returns:
            Each layer [batch, frames, dim], and the valid frames of each, [batch].

        Raises:
            ValueError: the upstream has not the layers it had when it was built, or not the frames that its
                stride promises.
        """
        if wavs.dim() == 3:
            wavs = wavs.squeeze(-1)
        samples = self._long_enough(wavs_len.tolist())
        wavs = F.pad(wavs, (0, max(0, max(samples) - wavs.size(1))))
        unpadded = [wav[:length] for wav, length in zip(wavs, samples, strict=True)]
        hidden_states = self.upstream(unpadded)["hidden_states"]
        if len(hidden_states) != self.num_layers:
            raise ValueError(
                f"The upstream returned {len(hidden_states)} layers, {self.num_layers} when it was built. "
                "Layer drop does that in fine-tuning: switch it off."
            )
        layers, lengths = [], []
        for layer, stride in zip(hidden_states, self.downsample_rates, strict=True):
            valid = torch.div(wavs_len - 1, stride, rounding_mode="floor") + 1
            layer = _with_frames(layer, _frames(max(samples), stride))[:, : int(valid.max())]
            layers.append(F.layer_norm(layer, layer.shape[-1:]) if self.normalize else layer)
            lengths.append(valid)
        return layers, lengths

    def _long_enough(self, lengths: list[int]) -> list[int]:
        """Samples that the upstream is given of each utterance: padding too, where one is very short."""
        missing = max(0, SHORTEST - max(lengths))  # as in the public package, for all utterances alike
        count = traits_of(self.upstream).num_frames
        return [
            SHORTEST if count is not None and count(length + missing) == 0 else length + missing
            for length in lengths
        ]


class Featurizer(nn.Module):
    """Mix the layers of an S3PRLUpstream by softmax(weights), which are learned and start uniform.

    Of an upstream with one layer, and of a list with one, it returns that layer.
    """

    def __init__(
        self, upstream: S3PRLUpstream, layer_selections: Sequence[int] | None = None, normalize: bool = False
    ) -> None:
        """
        Args:
            upstream: which layers there are; it is not kept.
            layer_selections: numbers of the layers to mix (negative ones count from the last), None for all.
            normalize: normalise every layer over its dimensions first.

        Raises:
            UserError: there is no such layer, or the layers differ in dimensions or stride.
        """
        super().__init__()
        count = upstream.num_layers
        chosen = range(count) if layer_selections is None else layer_selections
        for layer in chosen:
            if not -count <= layer < count:
                raise UserError(f"layer_selections has {layer}; the layers are numbered 0 to {count - 1}.")
        self.layer_selections = sorted({layer % count for layer in chosen})
        sizes = {
            (upstream.hidden_sizes[one], upstream.downsample_rates[one]) for one in self.layer_selections
        }
        if len(sizes) != 1:
            raise UserError(
                f"The layers differ in (dimensions, stride), {sorted(sizes)}, so they cannot be weighted. "
                "Choose some that agree with layer_selections."
            )
        ((self._output_size, self._downsample_rate),) = sizes
        self.normalize = normalize
        if count > 1:
            self.weights = nn.Parameter(torch.zeros(len(self.layer_selections)))

    @property
    def output_size(self) -> int:
        """Dimensions of the feature."""
        return self._output_size

    @property
    def downsample_rate(self) -> int:
        """Samples (at 16 kHz) per frame."""
        return self._downsample_rate

    def forward(self, all_hs: Sequence[Tensor], all_lens: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """All layers of the upstream and their lengths -> the feature [batch, frames, dim] and its lengths.

        Args:
            all_hs: [batch, frames, dim] of each layer; a list with one layer is not weighted.
            all_lens: valid frames [batch] of each layer.
        """
        if len(all_hs) == 1:
            return all_hs[0], all_lens[0]
        stacked = torch.stack([all_hs[layer] for layer in self.layer_selections])
        if self.normalize:
            stacked = F.layer_norm(stacked, stacked.shape[-1:])
        weights = self.weights.float().softmax(-1).to(stacked.dtype)
        return torch.einsum("l,lbtd->btd", weights, stacked), all_lens[self.layer_selections[0]]


def _frames(samples: int, stride: int) -> int:
    """Strides that are begun by so many samples."""
    return -(-samples // stride)


def _with_frames(layer: Tensor, frames: int) -> Tensor:
    """[batch, any, dim] cut, or its last frame repeated, to [batch, frames, dim]."""
    missing = frames - layer.size(1)
    if abs(missing) >= TOLERATED_FRAMES:
        raise ValueError(
            f"The upstream returned {layer.size(1)} frames where its stride promises {frames}: "
            "get_downsample_rates or the padding of the upstream is wrong."
        )
    if missing <= 0:
        return layer[:, :frames]
    return torch.cat([layer, layer[:, -1:].expand(-1, missing, -1)], dim=1)


@torch.no_grad()
def _randomize(model: nn.Module) -> None:
    """Matrices from Xavier's normal distribution, other parameters from one like their own."""
    for weight in model.parameters():
        if weight.dim() > 1:
            nn.init.xavier_normal_(weight)
        else:
            nn.init.normal_(weight, weight.mean().item(), weight.std(correction=0).item())
