"""The commands of `python -m s3prl.downstream.common.metrics`; each has `add_options` and `run`."""
