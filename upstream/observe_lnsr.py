"""Layerwise noise-to-signal ratio (LNSR): how much of a perturbation of the input reaches every layer.

    python -m s3prl.upstream.observe_lnsr -u mockingjay --input recordings --snr 20 10 0 --output lnsr
    python -m s3prl.upstream.observe_lnsr -u mockingjay --input recordings --perturbed attacked --output lnsr

Proposed by Wu, Liu and Lee, "Defense for Black-box Attacks on Anti-spoofing Models by Self-Supervised
Learning" (Interspeech 2020, arXiv 2006.03214). Of the hidden states H [frames, dim] of a layer for a
recording, and H' for its perturbed version,

    LNSR = || H' - H || / || H ||

with the Frobenius norm, averaged over recordings; a model that suppresses the perturbation has a smaller LNSR
in later layers. --norm spectral takes the largest singular value instead, as the script of 2020 did. Beside
the layers, `wave` and `log mel` tell the ratio in the input. Versions of different length are compared up to
the end of the shorter one.

--snr adds Gaussian noise at these signal-to-noise ratios (dB), the same in every call; --perturbed names
folders with a version of every recording under the same name. Writes lnsr.csv and lnsr.png. Recordings that
cannot be used are named at the end, and the exit code is then 1.
"""

import argparse
import csv
import io
import math
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from s3prl.utility import pictures
from s3prl.utility.arguments import command_parser
from s3prl.utility.audio import load
from s3prl.utility.errors import UserError, command
from s3prl.utility.files import write_atomically
from s3prl.utility.progress import followed
from s3prl.utility.results import aligned
from s3prl.utility.weights import listed

from .tools.hidden import Insight, add_insight_options, insight, log_mel, unusable
from .tools.recordings import find_recordings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NORMS = {"frobenius": "fro", "spectral": 2}
INPUTS = ("wave", "log mel")
CSV, PNG = "lnsr.csv", "lnsr.png"

Perturb = Callable[[str, np.ndarray], np.ndarray]  # (name of a recording, its wave) -> perturbed wave
Ratios = dict[str, dict[str, list[float]]]  # perturbation -> layer or input -> LNSR of every recording


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and draw; 1 when a recording could not be used."""
    parser = command_parser("lnsr", __doc__)
    add = parser.add_argument
    add_insight_options(parser)
    add("--output", type=Path, required=True, metavar="FOLDER", help=f"where {CSV} and {PNG} go")
    add("--snr", type=float, nargs="+", default=[], metavar="DB", help="ratios of Gaussian noise, in dB")
    add("--perturbed", type=Path, nargs="+", default=[], metavar="FOLDER", help="perturbed versions")
    add("--norm", choices=NORMS, default="frobenius", help="of a matrix (default: frobenius)")
    add("--seed", type=int, default=1337, help="of the noise (default: 1337)")
    options = parser.parse_args(argv)
    if not all(map(math.isfinite, options.snr)):
        parser.error("--snr must be finite numbers")
    recordings = find_recordings(options.input)
    kinds = perturbations(options, recordings)
    ratios, failed = measure(insight(options), recordings, kinds, options.norm)
    if len(failed) < len(recordings):
        print(table(ratios))
        write_csv(ratios, options.output / CSV)
        pictures.save(figure(ratios), [options.output / PNG])
        print(f"\nnumbers  {options.output / CSV}\nplot     {options.output / PNG}")
    for message in failed:
        print(f"failed: {message}", file=sys.stderr)
    return int(bool(failed))


def perturbations(options: argparse.Namespace, recordings: Mapping[str, Path]) -> dict[str, Perturb]:
    """What is done to recordings, by the name of each perturbation.

    Raises:
        UserError: there is none, the same one twice, or one without a version of every recording.
    """
    kinds: dict[str, Perturb] = {}
    for level in options.snr:
        kinds[f"{level:g} dB"] = gaussian(level, options.seed)
    for folder in options.perturbed:
        versions = find_recordings(folder, "--perturbed")
        missing = [name for name in recordings if name not in versions]
        if missing:
            raise UserError(
                f"--perturbed {folder} has no version of {listed(missing)}. It needs one of every recording "
                f"in {options.input}, under the same name; the suffix may differ."
            )
        kinds[str(folder)] = lambda name, wav, versions=versions: load(versions[name])
    if not kinds:
        raise UserError("Say how recordings are perturbed: --snr 20 10 0, or --perturbed FOLDER.")
    if len(kinds) < len(options.snr) + len(options.perturbed):
        raise UserError(f"A perturbation is there twice: {', '.join(kinds)} are different ones.")
    return kinds


def gaussian(level: float, seed: int) -> Perturb:
    """White noise at a signal-to-noise ratio in dB; a recording's name and `seed` decide which.

    The function returned raises a UserError for silence, to which no noise has a ratio.
    """

    def perturb(name: str, wav: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(len(wav))
        power = float(np.mean(np.square(wav, dtype=np.float64)))
        if power == 0:
            raise UserError("It is silent: no noise has a signal-to-noise ratio there. Leave it out.")
        scale = math.sqrt(power / float(np.mean(np.square(noise))) / 10 ** (level / 10))
        return (wav + scale * noise).astype(np.float32)

    return perturb


def lnsr(states: Tensor, perturbed: Tensor, norm: str = "frobenius") -> float:
    """The LNSR of a layer for one recording; see the top of this file.

    Args:
        states, perturbed: [frames, dim]; the frames that only one of them has are left out.
        norm: one of NORMS.

    Returns:
        0 where nothing has changed; infinite where all of `states` is 0 but not of `perturbed`.
    """
    frames = min(len(states), len(perturbed))
    clean, order = states[:frames].double(), NORMS[norm]
    noise = torch.linalg.matrix_norm(perturbed[:frames].double() - clean, order)
    signal = torch.linalg.matrix_norm(clean, order)
    if signal == 0:
        return 0.0 if noise == 0 else math.inf
    return float(noise / signal)


def measure(
    seen: Insight, recordings: Mapping[str, Path], kinds: Mapping[str, Perturb], norm: str
) -> tuple[Ratios, list[str]]:
    """The LNSR of every recording, and why others could not be used."""
    ratios: Ratios = {kind: {} for kind in kinds}
    failed = []
    for name, path in followed(recordings.items(), len(recordings), "measuring", "recordings"):
        try:
            wav = load(path)
            clean, found = dict(_views(seen, wav)), {}
            for kind, perturb in kinds.items():  # of one after the other: states of long recordings are large
                perturbed = _views(seen, perturb(name, wav))
                found[kind] = {view: lnsr(clean[view], states, norm) for view, states in perturbed}
        except UserError as error:
            failed.append(unusable(path, error))
            continue
        for kind, views in found.items():
            for view, value in views.items():
                ratios[kind].setdefault(view, []).append(value)
    return ratios, failed


def _views(seen: Insight, wav: np.ndarray) -> Iterator[tuple[str, Tensor]]:
    """Everything that is compared of a recording: [frames, dim] of inputs and layers, by name."""
    yield INPUTS[0], torch.from_numpy(wav)[:, None]
    yield INPUTS[1], log_mel(wav)
    states = seen.states(wav)
    for layer, values in zip(seen.layers or range(len(states)), states, strict=True):
        yield str(layer), values


def table(ratios: Ratios) -> str:
    """A row for every input and layer, a column for every perturbation."""
    views = next(iter(ratios.values()))
    rows = [["layer", *ratios]]
    rows += [[view, *(f"{np.mean(found[view]):.4f}" for found in ratios.values())] for view in views]
    return aligned(rows, 1)


def write_csv(ratios: Ratios, path: Path) -> None:
    """Lines `perturbation,layer,lnsr,std,recordings`: mean and standard deviation over the recordings."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["perturbation", "layer", "lnsr", "std", "recordings"])
    for kind, views in ratios.items():
        for view, values in views.items():
            writer.writerow([kind, view, float(np.mean(values)), float(np.std(values)), len(values)])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write(text.getvalue().encode("utf-8")))


def figure(ratios: Ratios) -> "Figure":
    """A line over the layers for every perturbation, and its LNSR in the log mel spectrogram, dotted."""
    import matplotlib

    with matplotlib.rc_context(pictures.LOOK):
        picture = pictures.new_figure(6.4, 3.6)
        panel = picture.subplots()
        for number, (kind, views) in enumerate(ratios.items()):
            colour = pictures.COLOURS[number % len(pictures.COLOURS)]
            layers = [view for view in views if view not in INPUTS]
            panel.plot(
                layers, [np.mean(views[layer]) for layer in layers], color=colour, marker="o", markersize=4,
                label=kind,
            )  # fmt: skip
            panel.axhline(np.mean(views[INPUTS[1]]), color=colour, linestyle=":", linewidth=1)
        panel.set_ylim(bottom=0)
        panel.set_xlabel("layer (dotted: log mel spectrogram of the input)")
        panel.set_ylabel("LNSR")
        pictures.add_legend(picture, panel.lines[::2], list(ratios), columns=3)
    return picture


if __name__ == "__main__":
    sys.exit(main())
