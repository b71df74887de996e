"""Speech recognition on lists of your own."""
