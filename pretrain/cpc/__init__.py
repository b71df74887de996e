"""Pre-training of modified CPC (Rivière et al., ICASSP 2020)."""
