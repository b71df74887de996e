"""wav2vec and, in the same network with a quantizer, vq-wav2vec."""
