"""TERA: the transformer of Mockingjay, pre-trained on alterations in time, frequency and magnitude."""
