"""Fine-tune an upstream with a classifier of your own: what it takes in a script of your own.

    python upstream/example/example_finetune.py                                       # the template, tones
    python upstream/example/example_finetune.py -u tera_local -k states-300.ckpt cats/*.wav dogs/*.wav
    python upstream/example/example_finetune.py -u hubert cats/*.wav dogs/*.wav

The label of a recording is the name of its folder. Both models are saved to example_finetuned.ckpt; newly
built ones that load it give the same.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # so that s3prl is found in a clone

import argparse

import torch
from torch import Tensor, nn

from s3prl.upstream.build import build_upstream
from s3prl.upstream.interfaces import SAMPLE_RATE, Featurizer
from s3prl.utility.audio import load
from s3prl.utility.errors import UserError, command


class Classifier(nn.Module):
    """An upstream, the learned weighting of its layers, the mean over time, and a linear layer."""

    def __init__(self, upstream: nn.Module, classes: int) -> None:
        super().__init__()
        self.upstream, self.featurizer = upstream, Featurizer(upstream)  # layer_selection=-1: the last alone
        self.head = nn.Linear(self.featurizer.output_dim, classes)

    def forward(self, wavs: list[Tensor]) -> Tensor:
        """Unpadded [samples] at 16 kHz -> scores [batch, classes]."""
        features = self.featurizer(wavs, self.upstream(wavs))  # a list of [frames, dim]
        return self.head(torch.stack([feature.mean(0) for feature in features]))


@command
def main(argv: list[str] | None = None) -> None:
    """Fine-tune, save, load."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recordings", nargs="*", metavar="AUDIO", help="any format and rate (default: tones)")
    parser.add_argument("-u", "--upstream", default="example", help="its name")
    parser.add_argument("-k", "--ckpt", help="its checkpoint, where the name ends in _local")
    parser.add_argument("-g", "--model_config", help="a file of its options")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--output", type=Path, default=Path("example_finetuned.ckpt"))
    options = parser.parse_args(argv)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    data = [(Path(path).absolute().parent.name, load(path)) for path in options.recordings] or tones()
    names = sorted({name for name, _ in data})
    if len(names) < 2:
        raise UserError(f"All recordings are in folders named {names[0]}. Give recordings of two folders.")
    wavs = [torch.as_tensor(wave, device=device) for _, wave in data]
    labels = torch.tensor([names.index(name) for name, _ in data], device=device)

    def build() -> Classifier:
        upstream = build_upstream(options.upstream, options.ckpt, options.model_config)
        return Classifier(upstream, len(names)).to(device)

    model = build().train()  # models come in evaluation mode; this turns on their dropout
    head = [*model.featurizer.parameters(), *model.head.parameters()]
    groups = [{"params": list(model.upstream.parameters()), "lr": 1e-4}, {"params": head, "lr": 1e-2}]
    optimizer = torch.optim.AdamW(groups)
    for step in range(options.steps):
        batch = torch.randperm(len(wavs))[:8]
        loss = nn.functional.cross_entropy(model([wavs[index] for index in batch]), labels[batch.to(device)])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        print(f"step {step + 1}: loss {loss.item():.3f}")
    torch.save({"Classifier": model.state_dict(), "names": names}, options.output)

    again = build()
    again.load_state_dict(torch.load(options.output, map_location=device, weights_only=True)["Classifier"])
    with torch.no_grad():
        scores, same = again.eval()(wavs[:8]), model.eval()(wavs[:8])
    found = ", ".join(names[index] for index in scores.argmax(-1).tolist())
    print(f"{options.output} gives {'the same' if torch.equal(scores, same) else 'other'} scores: {found}")


def tones() -> list[tuple[str, Tensor]]:
    """Eight waves of half a second, low tones and high ones in noise, each with the name of its class."""
    time = torch.arange(SAMPLE_RATE // 2) / SAMPLE_RATE
    pitches = [("low", 200.0 + 20 * number) for number in range(4)]
    pitches += [("high", 2000.0 + 200 * number) for number in range(4)]
    return [
        (name, torch.sin(2 * torch.pi * pitch * time) + 0.1 * torch.randn_like(time))
        for name, pitch in pitches
    ]


if __name__ == "__main__":
    sys.exit(main())
