"""Pre-training of Mockingjay (upstream/mockingjay)."""
