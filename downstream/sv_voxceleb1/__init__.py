"""Speaker verification on VoxCeleb1."""
