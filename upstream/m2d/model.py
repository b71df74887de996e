"""M2D's online encoder: a vision transformer over patches of a spectrogram.

Niizumi et al., "Masked Modeling Duo: Learning Representations by Encouraging Both Networks to Model the
Input", ICASSP 2023; for speech "Masked Modeling Duo for Speech", Interspeech 2023 (arXiv 2305.14079).
Parameters are named as in the published checkpoints.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEAD_SIZE = 64
EPSILON = 1e-6  # of every layer norm


@dataclass(frozen=True)
class Sizes:
    """What the shapes of a checkpoint's tensors say about the model."""

    dim: int
    blocks: int
    inner: int  # of the feed-forward layers
    height: int  # of a patch, in mel bands
    width: int  # of a patch, in frames
    rows: int  # patches over all mel bands
    columns: int  # patches over the frames of one input

    @property
    def frames(self) -> int:
        """Frames that are encoded together at most."""
        return self.columns * self.width

    @property
    def mels(self) -> int:
        """Mel bands of the input."""
        return self.rows * self.height


class M2D(nn.Module):
    """Encoder of spectrograms of any length; frames beyond its input size are encoded in chunks."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.cls_token = nn.Parameter(torch.zeros(1, 1, sizes.dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + sizes.rows * sizes.columns, sizes.dim))
        self.patch_embed = PatchEmbedding(sizes)
        self.blocks = nn.ModuleList(Block(sizes.dim, sizes.inner) for _ in range(sizes.blocks))
        self.norm = nn.LayerNorm(sizes.dim, EPSILON)

    def num_frames(self, frames: int) -> int:
        """Time steps that `frames` of the spectrogram become."""
        return -(-frames // self.sizes.width)

    def forward(self, spectrogram: Tensor, valid: Tensor | None = None) -> list[Tensor]:
        """Encode spectrograms; zeros fill the last patch.

        Args:
            spectrogram: normalised, [batch, frames, mels].
            valid: [batch, steps], True where a step is to be attended to; None is everywhere.

        Returns:
            One [batch, steps, rows * dim] per block: the patches of a time step from the lowest band to the
            highest. The last is the one behind the final layer norm.
        """
        sizes, (batch, frames, _) = self.sizes, spectrogram.shape
        steps = self.num_frames(frames)
        spectrogram = F.pad(spectrogram, (0, 0, 0, steps * sizes.width - frames))
        chunks = steps // sizes.columns
        whole = chunks * sizes.columns
        parts = []
        if chunks:  # all of them are one batch
            encoded = self._encode(
                spectrogram[:, : whole * sizes.width].reshape(batch * chunks, sizes.frames, -1),
                None if valid is None else valid[:, :whole].reshape(batch * chunks, sizes.columns),
            )
            parts.append([layer.reshape(batch, whole, -1) for layer in encoded])
        if steps > whole:
            rest = spectrogram[:, whole * sizes.width :]
            parts.append(self._encode(rest, None if valid is None else valid[:, whole:]))
        return [torch.cat(layers, 1) for layers in zip(*parts, strict=True)]

    def _encode(self, chunk: Tensor, valid: Tensor | None) -> list[Tensor]:
        """[batch, frames, mels] of at most one input size -> one [batch, steps, rows * dim] per block."""
        patches = self.patch_embed(chunk)  # [batch, rows, steps, dim]
        _, rows, steps, dim = patches.shape
        first, positions = self.pos_embed[:, :1], self.pos_embed[:, 1:]
        positions = positions.unflatten(1, (rows, -1))[:, :, :steps]
        cls = (self.cls_token + first).expand(len(chunk), -1, -1)
        hidden = torch.cat([cls, (patches + positions).flatten(1, 2)], 1)
        mask = None
        if valid is not None:
            mask = F.pad(valid.repeat(1, rows), (1, 0), value=True)[:, None, None]  # cls is always there
        layers = []
        for block in self.blocks:
            hidden = block(hidden, mask)
            layers.append(hidden)
        layers[-1] = self.norm(hidden)
        return [
            layer[:, 1:].unflatten(1, (rows, steps)).transpose(1, 2).reshape(-1, steps, rows * dim)
            for layer in layers
        ]


class PatchEmbedding(nn.Module):
    """Linear projection of every patch: [batch, frames, mels] -> [batch, rows, steps, dim]."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        patch = (sizes.height, sizes.width)
        self.proj = nn.Conv2d(1, sizes.dim, kernel_size=patch, stride=patch)

    def forward(self, spectrogram: Tensor) -> Tensor:
        image = spectrogram.transpose(1, 2)[:, None].to(self.proj.weight.dtype)
        return self.proj(image).permute(0, 2, 3, 1)


class Block(nn.Module):
    """Transformer block with layer norms in front of attention and feed-forward."""

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, EPSILON)
        self.attn = Attention(dim)
        self.norm2 = nn.LayerNorm(dim, EPSILON)
        self.mlp = FeedForward(dim, inner)

    def forward(self, hidden: Tensor, mask: Tensor | None = None) -> Tensor:
        """[batch, tokens, dim] -> the same; `mask` as in `Attention`."""
        hidden = hidden + self.attn(self.norm1(hidden), mask)
        return hidden + self.mlp(self.norm2(hidden))


class Attention(nn.Module):
    """Multi-head self-attention, [batch, tokens, dim] -> the same.

    `mask`, [batch, 1, 1, tokens], is True where a token is attended to.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, hidden: Tensor, mask: Tensor | None = None) -> Tensor:
        query, key, value = self.qkv(hidden).unflatten(-1, (3, -1, HEAD_SIZE)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, mask)  # [batch, heads, tokens, 64]
        return self.proj(mixed.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Two linear layers with a Gaussian error linear unit between them."""

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, inner)
        self.fc2 = nn.Linear(inner, dim)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(hidden)))
