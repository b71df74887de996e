"""Phone classification by a linear layer on nine neighbouring frames of LibriSpeech."""
