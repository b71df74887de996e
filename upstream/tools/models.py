"""Upstreams for the tools: in evaluation mode, on a device."""

from typing import Any

from torch import nn

from s3prl.utility.device import use_threads_for

from ..build import build_upstream


def build(
    name: str,
    ckpt: str | None = None,
    model_config: str | None = None,
    device: str = "cpu",
    **options: Any,
) -> nn.Module:
    """An upstream in evaluation mode on `device`; for the arguments see `build_upstream`.

    Raises:
        UserError: no such upstream, one that cannot be imported, or what its own entry says.
    """
    use_threads_for(device)
    return build_upstream(name, ckpt, model_config, **options).to(device).eval()
