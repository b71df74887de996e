"""wav2vec 2.0: from its published files, or from the Hugging Face hub."""
