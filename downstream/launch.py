"""One experiment from beginning to end: its folder claimed, and the process left as it was found."""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from s3prl.training.launch import folder_of_its_own, process_settings, processes_joined
from s3prl.utility.download import downloads_in
from s3prl.utility.errors import faults_explained

from . import experiment, sweep

# PyTorch is imported inside of functions, behind `experiment.build`: mistakes are told at once.


@faults_explained(again="the same command with -a then continues")
def run(args: argparse.Namespace) -> None:
    """Build the experiment that the arguments describe and do what `--mode` says.

    Several can follow one another in one process: signal handlers, PyTorch's settings and folders are as
    before when it returns or raises.

    Raises:
        UserError: a mistake that the user can mend, or a fault of the file system.
        Terminated: the cluster or Ctrl-C asked for an end, and the state is saved.
    """
    rates = vars(args).pop("sweep_lr", None)
    plan = experiment.build(args) if rates is None else sweep.build(args, rates)
    with processes_joined(plan.args):
        for head in plan.heads:
            head.args.local_rank, head.args.device = plan.args.local_rank, plan.args.device
        if plan.heads:
            _sweep_in_folders(plan)
        else:
            _run_in_folder(plan)


def _run_in_folder(plan: experiment.Experiment) -> None:
    from s3prl.training.randomness import seed_generators
    from s3prl.utility import processes

    from .runner import Runner

    args, expdir = plan.args, Path(plan.args.expdir)
    leader = processes.is_leader()
    with ExitStack() as stack:
        stack.enter_context(process_settings(args.disable_cudnn))
        stack.enter_context(downloads_in(args.cache_dir))
        results: Path | None = expdir
        if args.mode != "train":
            results, args.expdir = stack.enter_context(_folders_of_evaluation(expdir, leader))
        elif leader:
            stack.enter_context(folder_of_its_own(expdir))
        if leader and results is not None:
            experiment.write_records(plan, expdir)
        processes.wait()
        seed_generators(args.seed)
        runner = Runner(args, plan.config, plan.checkpoint, plan.resume, results)
        getattr(runner, args.mode)()
        if args.push_to_hf_hub and args.mode == "train" and leader:
            from s3prl.utility.huggingface import push_experiment

            print(f"[Hub] Shared at {push_experiment(args)}")
        processes.wait()  # a process that leaves early breaks what the others still send


def _sweep_in_folders(plan: experiment.Experiment) -> None:
    from s3prl.training.randomness import seed_generators
    from s3prl.utility import processes

    with ExitStack() as stack:
        stack.enter_context(process_settings(plan.args.disable_cudnn))
        stack.enter_context(downloads_in(plan.args.cache_dir))
        if processes.is_leader():
            for one in (plan, *plan.heads):
                folder = Path(one.args.expdir)
                stack.enter_context(folder_of_its_own(folder))
                experiment.write_records(one, folder)
        processes.wait()
        seed_generators(plan.args.seed)
        sweep.train(plan)
        processes.wait()  # a process that leaves early breaks what the others still send


@contextmanager
def _folders_of_evaluation(expdir: Path, leader: bool) -> Iterator[tuple[Path | None, str]]:
    """Where the results of an evaluation go, and the folder that its task is given to write to.

    Evaluating needs no claim: results are written atomically. A task may append to files of its training
    (those of the public S3PRL do, to log.log), so while another run trains in the folder it gets its own.

    Yields:
        The experiment folder, or None where that cannot be written; the folder for the task.
    """
    from s3prl.training.expdir import free_name, is_claimed, is_writable

    results = expdir if is_writable(expdir) else None
    if results is not None and not is_claimed(expdir):
        yield results, str(expdir)
        return
    if results is None or not leader:  # only the leader's task writes
        with tempfile.TemporaryDirectory(prefix="s3prl-") as temporary:
            if leader:
                advice = "results are printed only (-n or -p keep them elsewhere)"
                print(f"[Experiment] {expdir} cannot be written: {advice}.", flush=True)
            yield results, temporary
        return
    own = free_name(expdir, "evaluation", "")
    own.mkdir()
    print(f"[Experiment] A run trains in {expdir}: what the task itself writes goes to {own}", flush=True)
    try:
        yield results, str(own)
    finally:
        with suppress(OSError):  # it has been used
            own.rmdir()
