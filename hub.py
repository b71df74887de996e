"""Every upstream by name: `hub.options()`, `hub.get("tera")`, or `hub.tera(...)` as in the public S3PRL."""

from collections.abc import Callable
from typing import Any

from s3prl.upstream.registry import LISTING, failures, get, options, scan

__all__ = ["LISTING", "build", "failures", "get", "options"]


def build(name: str, entry: Callable, ckpt: str | None, further: dict[str, Any], **given: Any) -> Any:
    """See `s3prl.upstream.build.build_upstream`, which takes `further` as keywords."""
    from s3prl.upstream.build import build_upstream  # imports torch, which listing names does without

    return build_upstream(name, ckpt, entry=entry, **further, **given)


def __getattr__(name: str) -> Callable:
    entries, failed = scan()
    if name in entries:
        return entries[name]
    if name in failed:
        raise AttributeError(f"upstream/{name} cannot be imported: {failures()[name]}")
    raise AttributeError(f"s3prl.hub has no upstream '{name}'")


def __dir__() -> list[str]:
    return [*globals(), *options()]
