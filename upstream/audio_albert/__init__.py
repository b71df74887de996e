"""Audio ALBERT: the transformer of Mockingjay with one layer used several times."""
