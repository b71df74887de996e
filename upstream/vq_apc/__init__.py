"""VQ-APC: names of its published checkpoints; the model is that of APC."""
