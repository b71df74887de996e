"""The task to copy when you write your own."""
