"""Phones on TIMIT, a linear layer on every frame; scored by accuracy."""
