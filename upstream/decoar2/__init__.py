"""DeCoAR 2.0, DeCoAR with a transformer encoder."""
