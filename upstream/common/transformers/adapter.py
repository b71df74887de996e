"""Models of the transformers library that are built like wav2vec 2.0, as upstreams."""

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import cached
from torch.nn.utils.rnn import pad_sequence

from ...features.frames import valid_mask
from ...grouping import in_equal_lengths, in_groups, similar_lengths
from ...interfaces import UpstreamBase
from .. import unpadded
from .library import transformers

EPSILON = 1e-5  # of the normalisation of wavs, as in fairseq


class TransformersUpstream(UpstreamBase):
    """wav2vec 2.0 (Baevski et al., NeurIPS 2020) and its descendants, which share its network.

    `hidden_states` are the input of every encoder layer, then the output of the encoder: layers + 1 of
    [batch, frames, dim], always. Layer drop and the masking of pre-training are off; dropout acts in training
    mode. Padding takes no part in attention, but a group norm in the convolutions sees it, as it does in the
    published models, unless `alone`.
    """

    def __init__(
        self,
        model: transformers.PreTrainedModel,
        normalize: bool = False,
        alone: bool = False,
        **options: Any,
    ) -> None:
        """
        Args:
            model: with `feature_extractor`, `feature_projection` and `encoder`.
            normalize: bring every wav to zero mean and unit variance first.
            alone: compute wavs of different lengths apart, so that an utterance has the values
                it has alone also where the network lets padding through; slower on a GPU.
        """
        super().__init__(**options)
        self.model = without_randomness(model)
        self.normalize = normalize
        self.alone = alone
        kernels, strides = (getattr(model.config, f"conv_{field}", ()) for field in ("kernel", "stride"))
        self.convolutions = list(zip(kernels, strides, strict=True))  # a subclass without them sets its own
        self.reach = _reach(model.config)
        self.name = f"[{model.config.model_type}]"
        if getattr(model, "adapter", None) is not None:  # comes after the encoder, whose output is wanted
            model.adapter = None
        if model.config.model_type == "wavlm":
            from .wavlm import fuse_attention

            fuse_attention(model)

    def get_downsample_rates(self, key: str) -> int:
        """Samples per frame: the product of the convolutions' strides."""
        return math.prod(stride for _, stride in self.convolutions)

    @property
    def batch_invariant(self) -> bool:
        """Whether an utterance's values are those it has alone, however far its batch pads it."""
        config = self.model.config
        normed_over_time = getattr(config, "feat_extract_norm", "layer") == "group"
        stacked_positions = hasattr(config, "conv_pos_kernel_size")  # data2vec: only the first finds zeros
        return self.alone or not (normed_over_time or stacked_positions)

    def num_frames(self, samples: int) -> int:
        """Exact frames of an utterance of `samples`; 0 when it is too short for one."""
        for kernel, stride in self.convolutions:
            samples = max((samples - kernel) // stride + 1, 0)
        return samples

    def padding_frames(self, lengths: Sequence[int], frames: int) -> list[int]:
        """How many of the `frames` of each utterance are padding, if they have `lengths` in samples."""
        return [frames - self.num_frames(length) for length in lengths]

    def forward(self, wavs: list[Tensor]) -> dict[str, Any]:
        """Unpadded [samples] wavs -> hidden states [batch, frames, dim]."""
        states = in_equal_lengths(self.encode, wavs) if self.alone else self.encode(wavs)
        return {"hidden_states": states, "last_hidden_state": states[-1]}

    def encode(self, wavs: Sequence[Tensor]) -> list[Tensor]:
        """The hidden states of wavs as one padded batch has them.

        On a CPU in evaluation the padding is not computed, which changes no frame of an utterance; frames
        behind those of its group are zero.
        """
        lengths = [len(wav) for wav in wavs]
        longest = max(lengths)
        frames = self.num_frames(longest)
        valid = [frames - behind for behind in self.padding_frames(lengths, frames)]
        if not unpadded.pays(self, wavs):
            batch = padded(wavs, self.normalize).to(self.model.dtype)
            return self.encode_features(self.model.feature_extractor(batch).transpose(1, 2), valid, frames)
        stride = self.get_downsample_rates("hidden_states")
        read = unpadded.frames_read(lengths, valid, stride, frames)

        def encode_group(group: list[int]) -> list[Tensor]:
            features = [self.convolved(wavs[index], read[index], longest) for index in group]
            features = pad_sequence(features, batch_first=True)
            return self.encode_features(features, [valid[index] for index in group], frames)

        with cached():  # the weight of the positional convolution
            return in_groups(encode_group, similar_lengths(lengths))

    def convolved(self, wav: Tensor, frames: int, longest: int) -> Tensor:
        """The first `frames` of a wav [samples] in a batch of `longest` samples: [frames, channels]."""
        wav = padded([wav], self.normalize)[0].to(self.model.dtype)
        layers = list(self.model.feature_extractor.conv_layers)
        norm = getattr(layers[0], "layer_norm", None)
        if isinstance(norm, nn.GroupNorm):
            first = unpadded.normalised(layers[0].conv, norm, wav, longest)
            layers[:1] = [first, layers[0].activation]
        return unpadded.convolved(wav, layers, self.convolutions, frames)

    def encode_features(self, features: Tensor, valid: Sequence[int], frames: int) -> list[Tensor]:
        """The network behind the convolutions.

        Args:
            features: [utterances, frames, channels], of some utterances of a batch, or of all.
            valid: frames of each utterance that are not padding.
            frames: of the longest utterance of the batch.
        """
        hidden = self.model.feature_projection(features)
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        total, mask = hidden.size(1), None
        if min(valid) < total:  # known on the host: without a mask the fastest attention is possible
            mask = valid_mask(valid, total, hidden.device)
        return self.layers(hidden, mask, frames - total)

    def layers(self, hidden: Tensor, valid: Tensor | None, behind: int = 0) -> list[Tensor]:
        """The encoder: [batch, frames, dim], and [batch, frames, 1] True outside padding -> states.

        Args:
            behind: frames of padding that follow in the batch and were not computed.
        """
        encoder = self.model.encoder
        norm_comes_last = "StableLayerNorm" in type(encoder).__name__  # data2vec ignores do_stable_layer_norm
        mask, shared = None, {}
        if valid is not None:
            hidden = hidden.masked_fill(~valid, 0)
            mask = valid.transpose(1, 2)[:, None]  # [batch, heads, queries, keys]
        followed = F.pad(hidden, (0, 0, 0, min(behind, self.reach))) if behind and self.reach else hidden
        hidden = hidden + encoder.pos_conv_embed(followed)[:, : hidden.size(1)]
        hidden = encoder.dropout(hidden if norm_comes_last else encoder.layer_norm(hidden))
        states = []
        for layer in encoder.layers:
            states.append(hidden)
            hidden = layer(hidden, attention_mask=mask, **shared)
            if isinstance(hidden, tuple):
                hidden, *further = hidden
                if further:  # WavLM: the first layer's position bias serves all
                    shared["position_bias"] = further[0]
        return [*states, encoder.layer_norm(hidden) if norm_comes_last else hidden]


class EvenSplitUpstream(TransformersUpstream):
    """The rule by which HuBERT, WavLM and UniSpeech-SAT, as published, tell padding from frames.

    A batch's samples are divided evenly among its frames; a frame is padding when all of its samples
    are. So an utterance can have a frame or two more in a batch than it has alone.
    """

    @property
    def batch_invariant(self) -> bool:
        """With this rule only where wavs of different lengths are computed apart."""
        return self.alone

    def padding_frames(self, lengths: Sequence[int], frames: int) -> list[int]:
        """How many of the `frames` of each utterance are padding, if they have `lengths` in samples."""
        samples = max(lengths) // frames
        return [max(frames - -(-length // samples), 0) for length in lengths]


def _reach(config: Any) -> int:
    """Frames behind an utterance's end through which padding gets into it by the positional convolutions.

    The first of them finds zeros there, as at the end of a batch; those after it (data2vec has five) do not.
    """
    if not hasattr(config, "conv_pos_kernel_size"):
        return 0
    return (config.num_conv_pos_embeddings - 1) * (config.conv_pos_kernel_size // 2)


def without_randomness(model: transformers.PreTrainedModel) -> transformers.PreTrainedModel:
    """The model without layer drop and SpecAugment, with fused attention where it has that."""
    for name in ("layerdrop", "encoder_layerdrop"):
        if hasattr(model.config, name):
            setattr(model.config, name, 0.0)
    model.config.apply_spec_augment = False
    if hasattr(model, "masked_spec_embed"):  # without gradient: several processes wait for every gradient
        model.masked_spec_embed.requires_grad_(False)
    if hasattr(model, "layerdrop"):  # Whisper's encoder copies it
        model.layerdrop = 0.0
    if model._supports_sdpa:
        model.set_attn_implementation("sdpa")
    return model


def captured(model: transformers.PreTrainedModel, *inputs: Tensor, **options: Any) -> list[Tensor]:
    """The hidden states that the library itself records, with the output of the encoder as the last.

    It records that before a final norm or an adapter; the former is wanted, the latter changes the shape.
    """
    output = model(*inputs, **options, output_hidden_states=True)
    *before, last = output.hidden_states
    final = output.last_hidden_state
    return [*before, final if final.shape == last.shape else last]


def padded(wavs: Sequence[Tensor], normalize: bool = False) -> Tensor:
    """[batch, samples], zero behind an utterance's end, each utterance normalised before if asked."""
    lengths = [len(wav) for wav in wavs]
    batch = pad_sequence(list(wavs), batch_first=True)
    if not normalize:
        return batch
    if len(set(lengths)) == 1:
        return F.layer_norm(batch, batch.shape[-1:], eps=EPSILON)
    valid = valid_mask(lengths, batch.size(1), batch.device)[..., 0]
    samples = valid.sum(1, keepdim=True)
    centred = (batch - batch.sum(1, keepdim=True) / samples).masked_fill(~valid, 0)
    return centred * (centred.square().sum(1, keepdim=True) / samples + EPSILON).rsqrt()
