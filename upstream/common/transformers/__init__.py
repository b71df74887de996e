"""Audio models of the transformers library as upstreams."""
