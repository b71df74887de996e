"""APC, autoregressive predictive coding."""
