"""Modified CPC."""
