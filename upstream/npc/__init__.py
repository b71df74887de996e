"""NPC, non-autoregressive predictive coding."""
