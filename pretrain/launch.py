"""One pre-training from beginning to end: its folder claimed, and the process left as it was found."""

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from s3prl.training.launch import folder_of_its_own, process_settings, processes_joined
from s3prl.utility.commands import launched
from s3prl.utility.errors import UserError, faults_explained
from s3prl.utility.launcher import say_once

from . import experiment

# PyTorch is imported inside of functions, behind `experiment.build`: mistakes are told at once.


@faults_explained(again="the same command with -a then continues")
def run(args: argparse.Namespace) -> None:
    """Build the experiment that the arguments describe and train it.

    Several can follow one another in one process: signal handlers, PyTorch's settings and folders are as
    before when it returns or raises.

    Raises:
        UserError: a mistake that the user can mend, or a fault of the file system.
        Terminated: the cluster or Ctrl-C asked for an end, and the state is saved.
    """
    plan = experiment.build(args)
    from s3prl.training.randomness import seed_generators
    from s3prl.utility import processes

    from .runner import Runner

    expdir = Path(plan.args.expdir)
    with contextlib.ExitStack() as stack:
        stack.enter_context(processes_joined(plan.args))
        stack.enter_context(process_settings(plan.args.disable_cudnn))
        if processes.is_leader():
            stack.enter_context(folder_of_its_own(expdir))
        processes.wait()
        seed_generators(plan.args.seed)
        runner = Runner(plan.args, plan.config, plan.checkpoint, plan.resume)
        if processes.is_leader():  # not before: a config that cannot be built is none of the run
            experiment.write_records(plan, expdir)
        runner.train()
        processes.wait()  # a process that leaves early breaks what the others still send


@faults_explained()
def start_on_all_gpus(args: argparse.Namespace, argv: Sequence[str]) -> None:
    """What `--multi_gpu` does: put one process for each GPU of this machine in the place of this process.

    It returns, and this process trains alone, where there are fewer than two, and in a process that a
    launcher has started.

    Args:
        argv: the command line that they get, the same for all.

    Raises:
        UserError: a mistake that can be found before they start: behind a launcher it would be told by each.
    """
    if args.local_rank is not None or "LOCAL_RANK" in os.environ:
        return
    if args.device is not None and args.device.startswith("cuda:"):
        raise UserError(f"--multi_gpu takes all GPUs, --device {args.device} one. Give one of them.")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        experiment.build(argparse.Namespace(**vars(args)))
    import torch

    count = torch.cuda.device_count() if args.device in (None, "cuda") else 0
    if count < 2:
        say_once(
            f"[Device] --multi_gpu: {count} GPU(s) to train on, so one process does it. For several machines "
            "start the command with torchrun."
        )
        return
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
    sys.stdout.flush()
    os.execv(sys.executable, [*launcher, *launched("pretrain"), *argv])
