"""Pre-training of Audio ALBERT (upstream/audio_albert)."""
