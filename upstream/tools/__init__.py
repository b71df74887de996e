"""What the tools of this room (list, check, extract) share."""
