"""Pre-training of APC, autoregressive predictive coding (Chung et al., Interspeech 2019)."""
