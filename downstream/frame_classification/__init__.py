"""Labels of frames, on lists of your own."""
