"""Names of models of the Hugging Face hub; the models are in common/transformers/."""
