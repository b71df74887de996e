"""Mockingjay, and what TERA and Audio ALBERT share with it: the transformer, its files, its expert."""
