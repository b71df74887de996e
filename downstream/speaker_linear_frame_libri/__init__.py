"""Speaker identification on LibriSpeech by a linear layer on every frame."""
