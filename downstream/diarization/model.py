"""The network of the SD task: recurrent layers that read forwards, and an output for each speaker."""

from typing import Annotated

from torch import Tensor, nn

from s3prl.utility.typed import at_least


class Diarizer(nn.Module):
    """LSTM and linear layer, frame by frame: [batch, frames, input_dim] -> logits [batch, frames, speakers].

    What is behind an utterance in a padded batch cannot reach it, since the LSTM reads forwards only.
    """

    def __init__(
        self,
        input_dim: int,
        speakers: int,
        rnn_layers: Annotated[int, at_least(0)] = 1,
        hidden_size: Annotated[int, at_least(1)] = 512,
    ) -> None:
        """
        Args:
            rnn_layers: 0 has nothing but the linear layer.
            hidden_size: of each recurrent layer.
        """
        super().__init__()
        self.rnn = None
        if rnn_layers:
            self.rnn = nn.LSTM(input_dim, hidden_size, num_layers=rnn_layers, batch_first=True)
        self.linear = nn.Linear(hidden_size if rnn_layers else input_dim, speakers)

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(features if self.rnn is None else self.rnn(features)[0])
