"""Upstream models: one folder per family, each with an expert.py and a hubconf.py."""
