"""Sequences of symbols by CTC: phones, characters of any language, or slots of spoken commands."""
