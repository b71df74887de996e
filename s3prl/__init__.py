"""The import name: `s3prl.upstream` is the folder `upstream/` beside this package, in a clone and in a wheel."""

from pathlib import Path

if (Path(__file__).parent.parent / "run_downstream.py").exists():  # a clone; in a wheel the rooms are inside
    __path__.append(str(Path(__file__).parent.parent))
