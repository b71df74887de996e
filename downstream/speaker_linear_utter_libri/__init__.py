"""Speaker identification on LibriSpeech by a linear layer on the mean over time."""
