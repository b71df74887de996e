"""The import name: `s3prl.upstream` is the folder `upstream/` (in a clone: of the parent folder)."""

from pathlib import Path

__version__ = "1.0.0.dev0"

if not (Path(__file__).parent / "upstream").is_dir():
    __path__.append(str(Path(__file__).parent.parent))
