"""Pre-training of NPC, non-autoregressive predictive coding (Liu et al., 2020, arXiv:2011.00406)."""
