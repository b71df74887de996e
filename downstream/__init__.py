"""Downstream tasks: one folder per task, each with an expert.py and a config.yaml."""

from s3prl.utility.plugins import mount_inherited

mount_inherited(__name__)
