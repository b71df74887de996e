"""Hugging Face hub: upstreams from a repository that holds an expert.py; sharing an experiment."""

import argparse
import functools
import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from s3prl.utility.errors import UserError


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise UserError("The Hugging Face hub needs one more package: pip install huggingface_hub") from error
    return huggingface_hub


def upstream_from_repository(repository: str, revision: str | None, weights: str) -> Callable:
    """The entry of an upstream kept in a hub repository: its expert.py, which is run, and its weights file.

    Args:
        repository: `organisation/name`.
        revision: a commit, branch or tag; None is the latest.
        weights: the file in the repository that is passed as `ckpt`.

    Raises:
        UserError: the repository cannot be had, or lacks one of the two files.
    """
    hub = _hub()
    try:
        folder = Path(hub.snapshot_download(repository, revision=revision))
    except Exception as error:  # the library's own errors are many, and have no common base across versions
        raise UserError(f"--hub huggingface: cannot get '{repository}': {error}") from error
    for name in ("expert.py", weights):
        if not (folder / name).is_file():
            raise UserError(
                f"The repository '{repository}' has no {name}. Another weights file: --upstream_model_name."
            )
    if (folder / "requirements.txt").is_file():
        print(f"[Hub] {repository} asks for:\n{(folder / 'requirements.txt').read_text(encoding='utf-8')}")
    return functools.partial(_build, folder / "expert.py", folder / weights)


def _build(expert: Path, weights: Path, ckpt: str | None = None, **options: Any) -> Any:
    name = f"s3prl_hub_{expert.parent.name}"
    spec = importlib.util.spec_from_file_location(name, expert)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.append(str(expert.parent))  # its helper modules lie beside it
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(expert.parent))
    return module.UpstreamExpert(ckpt=ckpt or str(weights), **options)


def push_experiment(args: argparse.Namespace) -> str:
    """Upload a finished experiment; returns the address of its repository.

    Everything but the `states-*.ckpt` is shared, the best checkpoint as `model.ckpt`, with a model card.

    Raises:
        UserError: not logged in, or no best checkpoint.
    """
    hub, expdir = _hub(), Path(args.expdir)
    best = next(iter(sorted(expdir.glob("*best*.ckpt"))), None)
    if best is None:
        raise UserError(f"--push_to_hf_hub: {expdir} has no best checkpoint to share.")
    api = hub.HfApi()
    try:
        owner = args.hf_hub_org or api.whoami()["name"]
    except Exception as error:
        raise UserError(f"--push_to_hf_hub: not logged in ({error}). Run `hf auth login` first.") from error
    model = _upstream_name(args).replace("/", "__")
    repository = f"{owner}/{model}__{(args.upstream_revision or 'main')[:8]}"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for path in expdir.iterdir():
            if path.is_file() and path.suffix != ".ckpt" and not path.name.startswith("."):
                shutil.copyfile(path, folder / path.name)
        shutil.copyfile(best, folder / "model.ckpt")
        (folder / "README.md").write_text(_model_card(args), encoding="utf-8")
        api.create_repo(repository, exist_ok=True)
        inside = f"{Path(args.downstream).name}/{expdir.name}"
        api.upload_folder(repo_id=repository, folder_path=str(folder), path_in_repo=inside)
    return f"https://huggingface.co/{repository}"


def _upstream_name(args: argparse.Namespace) -> str:
    """The name alone, also of a folder of the user's."""
    return Path(args.upstream).name if args.hub == "torch" else args.upstream


def _model_card(args: argparse.Namespace) -> str:
    task = Path(args.downstream).name
    return (
        "---\ntags:\n- library:s3prl\n- benchmark:superb\n- type:model\n---\n\n"
        f"# {task} on {_upstream_name(args)}\n\nTrained with S3PRL. Evaluate it with\n\n"
        "    python run_downstream.py -m evaluate -t SPLIT -e model.ckpt\n"
    )
