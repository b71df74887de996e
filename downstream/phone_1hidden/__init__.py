"""Phone classification by a hidden layer and a linear one on every frame of LibriSpeech."""
