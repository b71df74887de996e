"""DeCoAR, deep contextualised acoustic representations."""
