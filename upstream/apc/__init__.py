"""APC and VQ-APC, and what models over log-mel share: features, loading, vector quantisation."""
