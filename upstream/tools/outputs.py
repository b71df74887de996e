"""What every `upstream/*/example_extract.py` does: give waves to an upstream, and show what comes back."""

from collections.abc import Sequence

import torch

from s3prl.utility.arguments import Parser
from s3prl.utility.audio import load
from s3prl.utility.device import choose_device
from s3prl.utility.errors import command

from ..interfaces import SAMPLE_RATE
from .models import built
from .options import add_upstream_options


def main(name: str, argv: Sequence[str] | None = None) -> int:
    """Print the outputs of an upstream for the recordings of the command line, or for noise.

    Args:
        name: the upstream, unless `-u` names another one of its family.

    Returns:
        The exit code.
    """
    return command(lambda arguments: _show(name, arguments))(argv)


def _show(name: str, argv: Sequence[str] | None) -> None:
    parser = Parser(description=f"What the upstream {name} makes of recordings.")
    add = parser.add_argument
    add("recordings", nargs="*", metavar="AUDIO", help="any sample rate (default: two waves of noise)")
    add(
        "-u", "--upstream", default=name, metavar="NAME", help=f"another one of this family (default: {name})"
    )
    add_upstream_options(parser)
    add("--device", help="cuda, cpu, ... (default: cuda if there is one, else cpu)")
    options = parser.parse_args(argv)
    device = choose_device(options.device)
    upstream = built(options, device)
    wavs = [torch.from_numpy(load(path)).to(device) for path in options.recordings]  # [samples] at 16 kHz
    wavs = wavs or [torch.randn(seconds * SAMPLE_RATE, device=device) for seconds in (1, 2)]
    with torch.no_grad():
        outputs = upstream(wavs)
    for number, layer in enumerate(outputs["hidden_states"]):
        print(f"hidden_states[{number}]   {list(layer.shape)}  [batch, frames, dim]")
    print(f"last_hidden_state  {list(outputs['last_hidden_state'].shape)}")
    print(f"stride             {upstream.get_downsample_rates('hidden_states')} samples per frame")
