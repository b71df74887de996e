"""Metrics as plain functions of references and predictions; no model, no file, no config."""
