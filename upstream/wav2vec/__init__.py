"""wav2vec, the first of its name: convolutions trained by contrast."""
