"""Automatic speech recognition on LibriSpeech."""
