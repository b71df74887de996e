"""HuBERT: from its published files, or from the Hugging Face hub."""
