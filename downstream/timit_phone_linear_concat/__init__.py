"""Phones on TIMIT, a linear layer on nine neighbouring frames; scored by accuracy."""
