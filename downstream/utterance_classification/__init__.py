"""Labels of whole utterances, on lists of your own."""
