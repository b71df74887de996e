"""Every upstream by name: `hub.options()`, `hub.get("tera")`, or `hub.tera(...)` as in the public S3PRL."""

from collections.abc import Callable

from s3prl.upstream.registry import failures, get, options, scan

__all__ = ["failures", "get", "options"]


def __getattr__(name: str) -> Callable:
    entries, failed = scan()
    if name in entries:
        return entries[name]
    if name in failed:
        raise AttributeError(f"upstream/{name} cannot be imported: {failures()[name]}")
    raise AttributeError(f"s3prl.hub has no upstream '{name}'")


def __dir__() -> list[str]:
    return [*globals(), *options()]
