"""Checkpoint files of fairseq, UniSpeech and the public S3PRL, read into transformers models."""
