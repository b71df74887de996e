"""Speaker identification on VoxCeleb1."""
