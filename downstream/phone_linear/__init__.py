"""Phone classification by a linear layer on every frame of LibriSpeech."""
