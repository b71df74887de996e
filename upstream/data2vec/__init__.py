"""data2vec: from its published files, or from the Hugging Face hub."""
