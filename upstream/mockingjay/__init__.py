"""Mockingjay, the first transformer on masked acoustic frames."""
