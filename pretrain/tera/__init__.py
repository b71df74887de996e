"""Pre-training of TERA (upstream/tera)."""
