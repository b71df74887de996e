"""Readers of corpora; each module has the same door, `items(root, split, ...)`."""
