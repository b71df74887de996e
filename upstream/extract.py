"""Features of many recordings on disk: a file for each utterance, and index.tsv.

    python -m s3prl.upstream.extract -u hubert --input LibriSpeech/dev-clean --output features
    python -m s3prl.upstream.extract -u hubert --input list.txt --output features -l 6,9
    python -m s3prl.upstream.extract --weights result/downstream/run/dev-best.ckpt --input wav --output out
    torchrun --nproc_per_node 4 -m s3prl.upstream.extract -u hubert ...

A file holds float32 [layers, frames, dim], or [frames, dim] with --weights (a .safetensors file under the
name "features"). The same command goes on where a killed one stopped. Recordings that cannot be used are
listed in bad_audio.tsv, and the exit code is then 1.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from s3prl.utility import processes
from s3prl.utility.arguments import command_parser
from s3prl.utility.device import choose_device
from s3prl.utility.errors import UserError, command
from s3prl.utility.lengths import measure
from s3prl.utility.plugins import absolute, check_stored

from .build import config_digest, find_config, public_batch_of, task_name
from .cache.budget import PUBLIC_BATCH, parse_size
from .cache.features import FeatureCache, Place
from .encoding import Encoder
from .fingerprint import fingerprint
from .interfaces import HIDDEN_STATES, Featurizer, traits_of
from .tools.extraction import Extraction, Source
from .tools.feature_folder import FORMATS, FeatureFolder
from .tools.hidden import chosen_layers
from .tools.models import build
from .tools.options import add_cache_options, add_upstream_options
from .tools.recordings import find_recordings, plan, share_of
from .tools.selection import TrainedWeighting, cached_layers_of, layers_of, weighted

NAMED = 10  # recordings that could not be used; all are in bad_audio.tsv


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Extract this process's shard; 1 when a recording could not be used."""
    options = parse_arguments(argv)
    shard, device = start(options)
    try:
        code = run(options, shard, device)
        processes.wait()  # torchrun ends all processes when one has an exit code other than 0
        return code
    finally:
        processes.stop()


def run(options: argparse.Namespace, shard: tuple[int, int], device: str) -> int:
    """Extract one shard; returns the exit code."""
    recordings = find_recordings(options.input)
    torch.manual_seed(0)  # a model without checkpoint has random weights: the same in every process
    source = source_of(options, device)
    settings = {**source.settings, "format": options.format}
    folder = FeatureFolder(options.output, settings, options.format, shard)
    measured = measure(Path(), [str(path) for path in recordings.values()], options.n_jobs, "headers")
    lengths = {name: measured.lengths.get(str(path), 0) for name, path in recordings.items()}
    job = Extraction(source, folder, recordings, device, options.n_jobs)
    job.run(share_of(plan(lengths, options.batch_seconds), shard), lengths)
    total = folder.finish(job.bad, recordings)
    print(
        f"{job.written} utterance(s) written, {job.skipped} were there already, {len(job.bad)} failed; "
        f"{options.output / 'index.tsv'} lists {total}"
    )
    for bad in job.bad[:NAMED]:
        print(f"failed: {bad.path}: {bad.reason}", file=sys.stderr)
    return int(bool(job.bad))


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser("extract", __doc__)
    add = parser.add_argument
    add("-u", "--upstream", metavar="NAME", help="a name or folder (default: that of --weights)")
    add_upstream_options(parser)
    add(
        "-s", "--upstream_feature_selection", metavar="KEY",
        help="which output to write (default: hidden_states)",
    )  # fmt: skip
    add("--input", type=Path, required=True, metavar="PATH", help="a folder, or a text file with paths")
    add("--output", type=Path, required=True, metavar="FOLDER", help="where features go")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "-l", "--upstream_layer_selection", "--layers", metavar="LAYER[,LAYER]", dest="layers",
        help="only these layers, such as 6,9 or, counted from the last, -l=-2,-1",
    )  # fmt: skip
    chosen.add_argument("--weights", type=Path, metavar="CKPT", help="mix layers as this task has learned")
    add_cache_options(parser)
    add("--format", choices=FORMATS, default=FORMATS[0], help=f"of the files (default: {FORMATS[0]})")
    add("--batch_seconds", type=float, default=120, help="of audio in a batch with padding (default: 120)")
    add("--n_jobs", type=int, default=4, help="threads that read and write files (default: 4)")
    add("--shard", metavar="I/N", help="do only part I (from 1) of N; torchrun sets this itself")
    add("--device", help="cuda, cpu, ... (default: cuda if there is one, else cpu)")
    options = parser.parse_args(argv)
    if options.upstream is None and options.weights is None:
        parser.error("give -u, or --weights, which names its upstream")
    parse_size(options.cache_limit)
    if options.n_jobs < 1 or options.batch_seconds <= 0:
        parser.error("--n_jobs and --batch_seconds must be positive")
    return options


def start(options: argparse.Namespace) -> tuple[tuple[int, int], str]:
    """(number from 1, count) of this process's part, and its device; under torchrun it joins the others."""
    device, local_rank = choose_device(options.device), processes.local_rank_from_environment()
    if options.shard is not None:
        parts = options.shard.split("/")
        if len(parts) != 2 or not all(map(str.isdigit, parts)) or not 1 <= int(parts[0]) <= int(parts[1]):
            raise UserError(f"--shard {options.shard}: write I/N with I from 1 to N, such as 1/4.")
        return (int(parts[0]), int(parts[1])), device
    if local_rank is not None:
        device = processes.start("gloo", device, local_rank)
    return (processes.rank() + 1, processes.world_size()), device


def source_of(options: argparse.Namespace, device: str) -> Source:
    """The upstream that the command line asks for, and which part of its output is wanted."""
    name, ckpt = absolute(options.upstream), options.upstream_ckpt
    model_config, selection = options.upstream_model_config, options.upstream_feature_selection
    alone = options.upstream_alone or options.cache is not None
    chosen = {"alone": alone, "public_batch": options.upstream_public_batch}
    folders, weighting = (), None
    if options.weights is not None:
        weighting = TrainedWeighting(options.weights)
        name = weighting.of("upstream", name)
        if options.upstream is None and weighting.arguments.get("hub") != "huggingface":
            check_stored(name, options.weights)
        ckpt = ckpt or weighting.arguments.get("upstream_ckpt")
        model_config = weighting.of("upstream_model_config", model_config)
        selection = weighting.of("upstream_feature_selection", selection)
        folders = weighting.folders
        chosen["alone"] |= bool(weighting.arguments.get("upstream_alone"))
        chosen["public_batch"] |= public_batch_of(weighting.arguments)
    if options.cache is not None and chosen["public_batch"]:
        raise UserError(PUBLIC_BATCH)
    model_config, selection = find_config(model_config, folders), selection or HIDDEN_STATES
    with processes.leader_first():
        upstream = build(
            name,
            ckpt,
            model_config,
            device,
            folders=folders,
            refresh=options.upstream_refresh and processes.is_leader(),
            feature_selection=selection,
            **chosen,
        )
    if weighting is not None:
        traits_of(upstream).for_task(task_name(weighting.arguments))
    encoder = Encoder(upstream, device, chosen["alone"])
    config = config_digest(model_config)
    settings = {"upstream": name, "model_config": config, "layers": "all", **chosen}
    if weighting is not None:
        source = weighted_source(options, name, encoder, weighting, config)
    else:
        source = layers_source(options, name, encoder, selection, config)
    if source.cache is not None:
        settings["cache_dtype"] = options.cache_dtype
    return source._replace(settings=settings | source.settings)


def weighted_source(
    options: argparse.Namespace,
    name: str,
    encoder: Encoder,
    weighting: TrainedWeighting,
    config: str | None,
) -> Source:
    """Layers mixed as a task has learned."""
    weighting.load_upstream(encoder.upstream)
    featurizer = weighting.featurizer(encoder)
    cache = cache_of(options, name, encoder, featurizer, config)
    settings = {"layers": "weighted", "parameters": fingerprint(encoder.upstream, featurizer)}
    return Source(encoder, weighted(encoder, featurizer, cache), settings, cache)


def layers_source(
    options: argparse.Namespace, name: str, encoder: Encoder, selection: str, config: str | None
) -> Source:
    """The layers of `-l`, or all."""
    layers, cache = chosen_layers(options.layers), None
    if options.cache is None:
        extract = layers_of(encoder, layers, selection)
    else:
        one = layers[0] if layers is not None and len(layers) == 1 else None
        featurizer = Featurizer(encoder.upstream, selection, encoder.device, one)
        cache = cache_of(options, name, encoder, featurizer, config)
        extract = cached_layers_of(cache, layers)
    settings = {"layers": layers or "all", "parameters": fingerprint(encoder.upstream)}
    if selection != HIDDEN_STATES:
        settings["output"] = selection
    return Source(encoder, extract, settings, cache)


def cache_of(
    options: argparse.Namespace, name: str, encoder: Encoder, featurizer: Featurizer, config: str | None
) -> FeatureCache | None:
    """The cache that the command line asks for, if it does."""
    if options.cache is None:
        return None
    place = Place(Path(options.cache), options.cache_limit, options.cache_dtype)
    return FeatureCache(place, name, encoder, featurizer, config=config)


if __name__ == "__main__":
    sys.exit(main())
