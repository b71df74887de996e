"""What several families of upstreams share; no family imports another's folder."""
