"""VQ-APC: APC whose prediction reads discrete codes."""
