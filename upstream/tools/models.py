"""Upstreams for the tools: in evaluation mode, on a device."""

import argparse
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


def built(options: argparse.Namespace, device: str) -> nn.Module:
    """The upstream that `-u` and the options of `add_upstream_options` choose, on a device.

    Raises:
        UserError: see `build`.
    """
    return build(
        options.upstream,
        options.upstream_ckpt,
        options.upstream_model_config,
        device,
        refresh=options.upstream_refresh,
        alone=options.upstream_alone,
        public_batch=options.upstream_public_batch,
    )
