"""The public package's side of a training: its models with our weights, updates as its runner does them."""

import sys
import types
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn


class Batch(NamedTuple):
    """What both sides train on."""

    wavs: list[np.ndarray]
    targets: list[Any]
    items: list[Any]


class PublicTraining:
    """A task of the public package on one of its upstreams, frozen; made inside of `public_package` only."""

    def __init__(self, runner: Any, upstream: nn.Module) -> None:
        """
        Args:
            runner: ours, whose config and weights it takes over.
            upstream: the public package's.
        """
        from s3prl.downstream.specaug import SpecAug
        from s3prl.upstream.interfaces import Featurizer

        self.upstream = upstream.eval()
        self.featurizer = Featurizer(upstream, "hidden_states", "cpu")
        self.featurizer.load_state_dict(runner.featurizer.state_dict())
        build = {"asr": _asr, "speech_commands": _speech_commands}[runner.args.downstream]
        self.expert = build(self.featurizer, runner)
        self.expert.load_state_dict(runner.downstream.state_dict())
        block = runner.expanded.get("specaug")
        self.specaug = SpecAug(**block) if block else None
        self.parameters = [*self.featurizer.parameters(), *self.expert.parameters()]
        self.optimizer = torch.optim.Adam(self.parameters, lr=runner.optimizer["lr"])
        self.clipping = runner.settings.gradient_clipping
        self.records: dict[str, list] = defaultdict(list)

    def loss(self, batch: Batch, training: bool = False) -> Tensor:
        """Of a batch; without dropout and SpecAugment unless training."""
        self.expert.train(training)
        wavs = [torch.FloatTensor(wav) for wav in batch.wavs]
        with torch.no_grad():
            outputs = self.upstream(wavs)
        features = self.featurizer(wavs, outputs)
        if training and self.specaug is not None:
            features, _ = self.specaug(features)
        names = [item.name for item in batch.items]
        return self.expert("train", features, batch.targets, names, records=self.records)

    def update(self, batch: Batch) -> None:
        """One update."""
        self.loss(batch, training=True).backward()
        nn.utils.clip_grad_norm_(self.parameters, self.clipping)
        self.optimizer.step()
        self.optimizer.zero_grad()


def _asr(featurizer: nn.Module, runner: Any) -> nn.Module:
    from s3prl.downstream.asr.expert import DownstreamExpert

    # It wants counts, and adds the first four symbols itself.
    dictionary = Path(runner.args.expdir) / "char.dict"
    dictionary.write_text("".join(f"{symbol} 1\n" for symbol in runner.downstream.dictionary.symbols[4:]))
    changed = {"dict_path": str(dictionary), "decoder_args": {"decoder_type": "None"}}
    return _built(DownstreamExpert, featurizer, runner, changed)


def _speech_commands(featurizer: nn.Module, runner: Any) -> nn.Module:
    _stand_in("catalyst.data.sampler", "DistributedSamplerWrapper")  # for several processes
    _stand_in("torchaudio.sox_effects", "apply_effects_file")  # for reading, which both sides do our way here
    from s3prl.downstream.speech_commands.expert import DownstreamExpert

    return _built(DownstreamExpert, featurizer, runner, {})


def _built(expert: type, featurizer: nn.Module, runner: Any, changed: dict[str, Any]) -> nn.Module:
    block = {**runner.expanded["downstream_expert"]}
    block["datarc"] = {**block["datarc"], **changed}
    return expert(
        upstream_dim=featurizer.output_dim, upstream_rate=featurizer.downsample_rate, downstream_expert=block,
        expdir=runner.args.expdir,
    )  # fmt: skip


def _stand_in(module: str, name: str) -> None:
    """Let a name be imported that is never used, with the packages above it where they are missing."""
    parts: Sequence[str] = module.split(".")
    for depth in range(1, len(parts) + 1):
        sys.modules.setdefault(".".join(parts[:depth]), types.ModuleType(".".join(parts[:depth])))
    if not hasattr(sys.modules[module], name):
        setattr(sys.modules[module], name, None)
