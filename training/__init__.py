"""The training engine: trains a job, step by step, exactly resumable; it knows no wave, task or model."""
