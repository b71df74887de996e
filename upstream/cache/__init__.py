"""Features that a frozen upstream has computed once, on disk: `--cache DIR`."""
