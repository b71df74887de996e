"""vq-wav2vec: wav2vec whose context network reads discrete codes."""
