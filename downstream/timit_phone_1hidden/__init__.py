"""Phones on TIMIT, a hidden layer on every frame; scored by accuracy."""
