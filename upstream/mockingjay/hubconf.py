"""Names of Mockingjay: `mockingjay_local` for a file of your own, the others for published checkpoints."""

from typing import Any

from ..entries import checkpoint_entries


def mockingjay_local(
    ckpt: str | None = None, options_config: str | None = None, model_config: str | None = None, **kwargs: Any
) -> Any:
    """Mockingjay from the checkpoint `ckpt`; `options_config` (or `model_config`): YAML of options.

    Options: load_pretrain, no_grad, dropout, spec_aug, spec_aug_prev, output_hidden_states.
    """
    from .expert import UpstreamExpert

    return UpstreamExpert(ckpt, model_config=model_config, options_config=options_config, **kwargs)


globals().update(checkpoint_entries("mockingjay", mockingjay_local))
