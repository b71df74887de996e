"""Batched acoustic features: Kaldi's (fbank, mfcc, spectrogram) and a centred STFT's (mel, linear, mfcc)."""
