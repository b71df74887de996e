"""Mockingjay, TERA and Audio ALBERT as upstreams; they differ in their checkpoints only."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from s3prl.utility.errors import UserError

from ...features.level import rms_of, scaled
from ...features.pipeline import features_from_config
from ...features.stft import STFT_FIELDS, StftFeatures
from ...interfaces import UpstreamBase
from .augment import spec_augment
from .chunks import chunk_size, encode_in_chunks
from .model import TransformerConfig, TransformerModel
from .options import Options, read_options
from .pretrained import Pretrained, read

AUDIO_FIELDS = (*STFT_FIELDS, "input", "kaldi", "delta", "cmvn")  # those that describe the features
AUGMENTED_FEATURES = 4  # widest band that SpecAugment takes out of the features
AUGMENTED_STATE = 86  # and of the last hidden state


class MelTransformerExpert(UpstreamBase):
    """A pre-trained transformer on acoustic features: its input representation and the output of each layer.

    An utterance's values are those it has alone. In the public S3PRL two things depend on the rest of the
    batch: mel features (see features/stft.py) and, for utterances longer than those of the pre-training,
    where they are cut into chunks. With `public_batch` they do here too.
    """

    family: str  # prefix of the entries

    def __init__(
        self,
        ckpt: str | None = None,
        model_config: str | None = None,
        options_config: str | None = None,
        public_batch: bool = False,
        **kwargs: Any,
    ) -> None:
        """
        Args:
            ckpt: path of a checkpoint of the pre-training.
            model_config: the same as `options_config`, which takes precedence.
            options_config: path of a YAML file with fields of `Options`.
            public_batch: give the values of the public S3PRL for the batch.

        Raises:
            UserError: no file is given, or one that cannot be used.
        """
        super().__init__(**kwargs)
        pretrained = read(ckpt, self.family)
        self.name = f"[{self.family}]"
        self.options = read_options(options_config or model_config)
        self.public_batch = public_batch
        self.features = features_from_config(_features(pretrained.audio, public_batch), f"{ckpt}: audio")
        level = None if "kaldi" in pretrained.audio else pretrained.audio.get("target_level")
        self.target_rms = rms_of(level, f"{ckpt}: audio.target_level")
        self.sequence_length = pretrained.sequence_length
        self.model = _model(pretrained, self.options, self.features.dim)
        self.output_dim = pretrained.config.hidden_size

    @property
    def batch_invariant(self) -> bool:
        """Whether an utterance's values are those it has alone, in any batch."""
        changed = isinstance(self.features, StftFeatures) or self.sequence_length > 0
        return not (self.public_batch and changed)

    def get_downsample_rates(self, key: str) -> int:
        """Samples per frame."""
        return self.features.shift

    def num_frames(self, samples: int) -> int:
        """Exact frames of an utterance of `samples`; 0 when it is too short for one."""
        return self.features.num_frames(samples)

    def misfit(self, trained: bool) -> str | None:
        """Of UpstreamBase."""
        if trained and self.options.no_grad:
            raise UserError(
                f"The options of {self.name[1:-1]} have no_grad: True, which keeps it out of training, but "
                "-f trains it. Leave one of them out."
            )
        idle = [
            name for name in ("spec_aug", "dropout") if getattr(self.options, name) not in (False, "default")
        ]
        if trained or not idle:
            return None
        return (
            f"{self.name[1:-1]} is frozen, where its options {' and '.join(idle)} do nothing; -f trains it."
        )

    def forward(self, wavs: list[Tensor]) -> dict[str, Any]:
        """Unpadded [samples] wavs -> layers + 1 states [batch, frames, hidden].

        Behind an utterance's end the states have no meaning.
        """
        if self.target_rms is not None:
            wavs = scaled(wavs, self.target_rms)
        features, frames = self.features(wavs)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.options.no_grad):
            states = self._states(features, frames)
        if not self.options.output_hidden_states:
            states = states[-1:]
        return {"hidden_states": states, "last_hidden_state": states[-1]}

    def _states(self, features: Tensor, frames: list[int]) -> list[Tensor]:
        augment = self.training and self.options.spec_aug
        if augment and self.options.spec_aug_prev:
            features = spec_augment(features, AUGMENTED_FEATURES)
        states = encode_in_chunks(self.model, features, frames, self._chunk_sizes(frames))
        if augment and not self.options.spec_aug_prev:
            states[-1] = spec_augment(states[-1], AUGMENTED_STATE)
        return states

    def _chunk_sizes(self, frames: list[int]) -> list[int]:
        """Frames per chunk of each utterance."""
        split = [max(frames)] * len(frames) if self.public_batch else frames
        return [chunk_size(total, self.sequence_length or total) for total in split]


def _features(audio: Mapping[str, Any], public_batch: bool) -> dict[str, Any]:
    """The part of `audio` that describes the input of the model."""
    config = {name: value for name, value in audio.items() if name in AUDIO_FIELDS}
    if public_batch and "kaldi" not in config:
        config["pad"] = "batch"
    return config


def _model(pretrained: Pretrained, options: Options, input_dim: int) -> nn.Module:
    config: TransformerConfig = pretrained.config
    if options.dropout != "default":
        dropout = options.dropout
        config = dataclasses.replace(
            config, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout
        )
    if options.load_pretrain:
        return pretrained.transformer(input_dim, config)
    return TransformerModel(config, input_dim)
