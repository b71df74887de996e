"""Masked acoustic modelling: what Mockingjay, TERA and Audio ALBERT are trained by."""
