"""Pre-training of VQ-APC, APC whose prediction reads discrete codes (Chung et al., Interspeech 2020)."""
