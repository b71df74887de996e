"""PASE+: the problem-agnostic speech encoder."""
