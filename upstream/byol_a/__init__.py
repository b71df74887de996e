"""BYOL-A: one vector per second of audio."""
