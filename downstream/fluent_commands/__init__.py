"""Intent classification on Fluent Speech Commands: SUPERB's IC."""
