"""What Mockingjay, TERA and Audio ALBERT share: the transformer, its files, its expert."""
