"""Emotion recognition on IEMOCAP."""
