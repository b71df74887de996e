"""Helpers every room uses: audio, checkpoints, overrides, downloads, randomness, optimizers, schedules."""
