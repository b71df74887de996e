"""The network of wav2vec and, with a quantizer, of vq-wav2vec."""
