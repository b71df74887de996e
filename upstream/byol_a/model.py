"""The encoder of BYOL-A (Niizumi et al., IJCNN 2021), with the module names of the published checkpoints."""

from torch import Tensor, nn

CHANNELS = 64
POOLED = 8  # mel bands and frames that the three poolings make one


class Encoder(nn.Module):
    """Three convolutions, two linear layers per frame of 80 ms, and the maximum plus the mean over time."""

    def __init__(self, mels: int, dim: int) -> None:
        """
        Args:
            mels: bands of the input.
            dim: size of the vector.
        """
        super().__init__()
        layers = []
        for inputs in (1, CHANNELS, CHANNELS):
            convolution = nn.Conv2d(inputs, CHANNELS, 3, padding=1)
            layers += [convolution, nn.BatchNorm2d(CHANNELS), nn.ReLU(), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        hidden = CHANNELS * (mels // POOLED)
        self.fc = nn.Sequential(
            nn.Linear(hidden, dim), nn.ReLU(), nn.Dropout(0.3), nn.Linear(dim, dim), nn.ReLU()
        )

    def forward(self, log_mel: Tensor) -> Tensor:
        """[batch, frames, mels] -> [batch, dim]; needs at least 8 frames."""
        maps = self.features(log_mel.transpose(1, 2)[:, None])  # [batch, channels, mels / 8, frames / 8]
        vectors = self.fc(maps.permute(0, 3, 2, 1).flatten(2))
        return vectors.amax(1) + vectors.mean(1)
