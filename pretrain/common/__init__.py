"""What methods of pre-training share: data, front ends, the base of their experts."""
