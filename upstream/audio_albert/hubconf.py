"""Names of Audio ALBERT: `audio_albert_local` for your own file, the others for published ones."""

from typing import Any

from ..entries import checkpoint_entries


def audio_albert_local(
    ckpt: str | None = None, options_config: str | None = None, model_config: str | None = None, **kwargs: Any
) -> Any:
    """Audio ALBERT from the checkpoint `ckpt`; `options_config` (or `model_config`): YAML of options.

    Options: load_pretrain, no_grad, dropout, spec_aug, spec_aug_prev, output_hidden_states.
    """
    from .expert import UpstreamExpert

    return UpstreamExpert(ckpt, model_config=model_config, options_config=options_config, **kwargs)


globals().update(checkpoint_entries("audio_albert", audio_albert_local))
