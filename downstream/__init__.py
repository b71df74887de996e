"""Downstream tasks: one folder per task, each with an expert.py and a config.yaml."""
