"""Masked Modeling Duo (M2D): general audio and speech representations of a masked spectrogram."""
