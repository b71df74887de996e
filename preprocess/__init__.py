"""Corpus preparation scripts."""
