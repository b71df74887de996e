"""Names of the example upstream; `customized_upstream` is the public S3PRL's name for it."""

from typing import Any


def customized_upstream(*args: Any, **kwargs: Any) -> Any:
    """A model that costs nothing: the template to copy for an upstream of your own."""
    from .expert import UpstreamExpert

    return UpstreamExpert(*args, **kwargs)


def example(*args: Any, **kwargs: Any) -> Any:
    """The same as `customized_upstream`."""
    return customized_upstream(*args, **kwargs)
