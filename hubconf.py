"""Entry points for torch.hub: `torch.hub.load(repo, 'fbank')` builds any upstream by name.

The repository is a clone, or the folder `s3prl` of an installed package (with `source="local"`).
"""

import sys as _sys
from pathlib import Path as _Path

_parent = str(_Path(__file__).resolve().parent.parent)
if not (_Path(__file__).parent / "s3prl").is_dir() and _parent not in _sys.path:
    _sys.path.append(_parent)  # in an installed package, `s3prl` is the folder of this file

from s3prl import hub as _hub  # noqa: E402


class _AnyName(str):
    """A name that equals every public one.

    torch.hub looks for a name in `dir(hubconf)` before it asks hubconf for it; when it finds this one, also
    a misspelt name reaches `__getattr__`, which knows the nearest.
    """

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return not str(other).startswith("_")


dependencies = ["torch", "numpy", "yaml"]

globals().update({_name: _hub.get(_name) for _name in _hub.options()})


def __dir__() -> list[str]:
    return [*globals(), _AnyName("dependencies")]


def __getattr__(name: str) -> object:
    return getattr(_hub, name)
