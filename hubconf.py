"""Entry points for torch.hub: `torch.hub.load(repo, 'fbank')` builds any upstream by name.

The repository is a clone, or the folder `s3prl` of an installed package (with `source="local"`).
"""

import sys
from pathlib import Path

_parent = str(Path(__file__).resolve().parent.parent)
if not (Path(__file__).parent / "s3prl").is_dir() and _parent not in sys.path:
    sys.path.append(_parent)  # in an installed package, `s3prl` is the folder of this file

from s3prl import hub as _hub  # noqa: E402

dependencies = ["torch", "numpy", "yaml"]

globals().update({_name: _hub.get(_name) for _name in _hub.options()})
