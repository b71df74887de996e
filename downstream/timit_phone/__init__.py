"""Phones on TIMIT, a bank of convolutions; scored by accuracy."""
