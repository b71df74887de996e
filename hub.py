"""Every upstream by name: `hub.options()`, `hub.get("tera")`, or `hub.tera(...)` as in the public S3PRL."""

from collections.abc import Callable

from s3prl.upstream.registry import failures, get, options
from s3prl.utility.errors import UserError

__all__ = ["failures", "get", "options"]


def __getattr__(name: str) -> Callable:
    try:
        return get(name)
    except UserError as error:
        raise AttributeError(str(error)) from None


def __dir__() -> list[str]:
    return [*globals(), *options()]
