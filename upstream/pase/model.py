"""The front end of PASE+ (Ravanelli et al., ICASSP 2020): SincNet, convolutions, a QRNN and dense skips.

Modules have the names of the published checkpoint.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from .config import FrontEndConfig
from .qrnn import QRNN
from .sincnet import SincConv


class Block(nn.Module):
    """Convolution with reflected edges, batch normalisation, PReLU."""

    def __init__(self, inputs: int, channels: int, width: int, stride: int, sinc: bool) -> None:
        """
        Args:
            inputs, channels: before and after the convolution.
            width, stride: of its kernel.
            sinc: whether the kernels are the band-pass filters of SincNet.
        """
        super().__init__()
        half = width // 2
        self.padding = (half - 1, half) if stride > 1 or width % 2 == 0 else (half, half)
        self.width, self.stride = width, stride
        convolution = (
            SincConv(channels, width, stride) if sinc else nn.Conv1d(inputs, channels, width, stride)
        )
        self.conv = convolution
        self.norm = nn.BatchNorm1d(channels)
        self.act = nn.PReLU(channels)

    def frames(self, length: int) -> int:
        """Frames out of `length` samples or frames; 0 when the edges are too close to be reflected."""
        if length <= max(self.padding):
            return 0
        return max(0, (length + sum(self.padding) - self.width) // self.stride + 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """[batch, inputs, length] -> [batch, channels, frames]."""
        return self.act(self.norm(self.conv(F.pad(inputs, self.padding, mode="reflect"))))


class FrontEnd(nn.Module):
    """Waveforms to frames; one frame per product of the strides."""

    def __init__(self, config: FrontEndConfig) -> None:
        super().__init__()
        inputs = (1, *config.fmaps[:-1])
        sizes = zip(inputs, config.fmaps, config.kwidths, config.strides, strict=True)
        self.blocks = nn.ModuleList(Block(*size, sinc=index == 0) for index, size in enumerate(sizes))
        skipped = config.fmaps[:-1] if config.denseskips else ()
        self.denseskips = nn.ModuleList(nn.Conv1d(dim, config.emb_dim, 1, bias=False) for dim in skipped)
        last = config.fmaps[-1]
        if config.rnn_pool:
            last = config.rnn_dim or config.emb_dim
            self.rnn = QRNN(config.fmaps[-1], last, config.rnn_layers, config.rnn_dropout)
        else:
            self.rnn = nn.Identity()
        self.W = nn.Conv1d(last, config.emb_dim, 1)
        normalised = config.norm_out
        self.norm_out = nn.BatchNorm1d(config.emb_dim, affine=False) if normalised else nn.Identity()

    def num_frames(self, samples: int) -> int:
        """Frames of `samples`; 0 when they are too few for the edges of some block to be reflected."""
        for block in self.blocks:
            samples = block.frames(samples)
        return samples

    def forward(self, wavs: Tensor) -> list[Tensor]:
        """Hidden states of padded waveforms, in the order in which the published model works them out.

        Args:
            wavs: [batch, 1, samples].

        Returns:
            One [batch, frames, emb_dim] per dense skip, that of W, and the output.
        """
        frames, hidden, skips = self.num_frames(wavs.size(-1)), wavs, []
        for index, block in enumerate(self.blocks):
            hidden = block(hidden)
            if index < len(self.denseskips):
                skips.append(self.denseskips[index](_averaged(hidden, frames)))
        embedded = self.W(self.rnn(hidden.transpose(1, 2)).transpose(1, 2))
        output = self.norm_out(embedded + sum(skips))
        return [state.transpose(1, 2) for state in (*skips, embedded, output)]


def _averaged(hidden: Tensor, frames: int) -> Tensor:
    """[batch, channels, more frames] -> [batch, channels, frames], means of whole groups.

    The published model averages after the projection of a skip. Both are linear, so the order is free, and
    this one needs a hundredth of the memory for the first block, which has one vector per sample.
    """
    return F.avg_pool1d(hidden, hidden.size(-1) // frames)[..., :frames]
