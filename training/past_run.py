"""A run that -e or -a continues or evaluates: its checkpoint, arguments and config, and other options."""

import argparse
import os
from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from s3prl.utility.arguments import Typed
from s3prl.utility.config import load_yaml
from s3prl.utility.differences import MISSING, differences, is_within, told
from s3prl.utility.errors import DamagedCheckpoint, UserError
from s3prl.utility.files import states_in
from s3prl.utility.launcher import say_once
from s3prl.utility.override import parse_override
from s3prl.utility.paths import find_path
from s3prl.utility.sweeps import folder_of, heads_in

# PyTorch is imported inside of functions: mistakes of the command line are told before it is loaded.

# of every command, -e takes all other arguments from the checkpoint
KEPT = (
    "override", "backend", "local_rank", "past_exp", "device", "verbose", "auto_resume", "trust_checkpoint",
    "bad_audio", "disable_cudnn",
)  # fmt: skip
COMPARED_OTHERWISE = ("init_ckpt", "expname", "expdir")
TOO_LATE = {"past_exp": "-e", "auto_resume": "-a", "init_ckpt": "-i", "expname": "-n"}
NAMED = 5  # fields of a config that a message lists


class Contradiction(NamedTuple):
    """A difference between the command and the run."""

    text: str
    override: str  # what says the same with -o


def read_checkpoint(where: str, trust: bool) -> tuple[Path, dict[str, Any]]:
    """A checkpoint of the command line, or the latest readable one of a folder.

    Raises:
        UserError: there is none, or it cannot be read; other checkpoints of its folder are offered.
    """
    from . import checkpoint as checkpoints

    path = find_path(where)
    check_readable(path)
    if path.is_dir():
        _refuse_sweep(path)
        return checkpoints.load_latest(path, trust)
    try:
        return path, checkpoints.load(path, trust)
    except DamagedCheckpoint as error:
        hint = checkpoints.alternative(path.parent, [path], trust)
        raise DamagedCheckpoint(f"{error}.{hint}") from error


def _refuse_sweep(folder: Path) -> None:
    """Raise a UserError for the folder of a sweep, which holds several runs."""
    heads = heads_in(folder)
    if heads and not states_in(folder):
        raise UserError(
            f"{folder} holds the heads of a sweep. Name one of them: "
            f"{', '.join(str(folder_of(folder, rate)) for rate in heads)}. The command that began the sweep "
            "continues all of them with -a."
        )


def check_readable(folder: Path) -> None:
    """Raise a UserError for a folder that may not be read, which would else look empty."""
    if folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK):
        raise UserError(
            f"You may not read the folder {folder}. Ask its owner for the permission (chmod a+rX)."
        )


class ConfigFile(NamedTuple):
    """An option that names a file with the config, or with a section of it."""

    argument: str
    flag: str
    section: str | None = None  # None: everything that has no file of its own


class PastRuns:
    """The runs that one command continues or evaluates. Each command has its own kind of them.

    Attributes:
        kind: of checkpoint, for messages: `downstream`.
        weights_only: the options that are needed beside -i.
        sections: of the config.
        kept: arguments that -e takes from the command line, besides those of every command.
        of_a_launch: arguments that change no result: those that are given count.
        compared_otherwise: arguments that may differ from the run's.
        files: options that name files of the config.
    """

    kind: ClassVar[str]
    weights_only: ClassVar[str]
    sections: ClassVar[tuple[str, ...]]
    kept: ClassVar[tuple[str, ...]] = ()
    of_a_launch: ClassVar[tuple[str, ...]] = ()
    compared_otherwise: ClassVar[tuple[str, ...]] = ()
    files: ClassVar[tuple[ConfigFile, ...]] = (ConfigFile("config", "-c"),)

    def config_of(self, state: dict[str, Any]) -> dict[str, Any]:
        """The whole config of a checkpoint that has been checked."""
        return state["Config"]

    def check(
        self, state: dict[str, Any], arguments: dict[str, Any], path: Path, training: bool
    ) -> dict[str, Any]:
        """Check what a checkpoint of this command has to hold besides Args and Config.

        Args:
            arguments: of the run.
            training: whether the run is continued.

        Returns:
            The arguments, each of the kind that it should be.

        Raises:
            UserError: names the checkpoint and what is wrong.
        """
        return arguments

    def take_over(
        self, args: argparse.Namespace, typed: Mapping[str, Typed] | None
    ) -> tuple[argparse.Namespace, dict[str, Any], dict[str, Any]]:
        """Arguments, config and checkpoint of the run that `args.past_exp` names.

        Args:
            typed: the options that the user gave, by their names in `args`; None does not compare them.

        Raises:
            UserError: no usable checkpoint, or a given option that contradicts the run.
        """
        path, state = read_checkpoint(args.past_exp, args.trust_checkpoint)
        state = self.adapt(state)
        training = getattr(args, "mode", "train") == "train"
        stored = self._stored_arguments(state, path, training)
        config = self.config_of(state)
        merged = argparse.Namespace(**vars(args))
        of_the_launch = set(typed or ()) & {*self.of_a_launch}
        for name, value in stored.items():
            if name not in (*KEPT, *self.kept) and name not in of_the_launch:
                setattr(merged, name, value)
        merged.launch_dir = stored.get("launch_dir") or str(Path.cwd())
        merged.init_ckpt = str(path)
        merged.expdir = str(path.parent)  # where the checkpoint is now, wherever the run was started
        merged.overridden = stored.get("overridden") or list(_config_fields(stored.get("override")))
        if typed is not None:
            self._refuse_contradictions(args, typed, stored, config, path)
            if not training and {"expname", "expdir"} & set(typed):
                merged.expdir = args.expdir
            if "overridden" in stored:
                for file in self.files:
                    if file.argument not in typed:
                        self._notice_changed_file(file, stored, config)
        say_once(f"[Experiment] From {path} (step {state.get('Step', 0)})")
        return merged, deepcopy(config), state

    def adapt(self, state: dict[str, Any]) -> dict[str, Any]:
        """The checkpoint as it is today, of one that an older version or another program wrote."""
        return state

    def tell_changes(self, state: dict[str, Any], args: argparse.Namespace, config: dict[str, Any]) -> None:
        """Print every field and argument of the run that is another one now, because -o says so."""
        for field, (before, now) in differences(self.config_of(state), config).items():
            say_once(f"[Experiment] config.{field}: {told(before)} -> {told(now)}")
        stored = state["Args"] if isinstance(state["Args"], dict) else vars(state["Args"])
        for name in sorted(_argument_names(args.override) & stored.keys() - {*KEPT, *self.kept}):
            before, now = stored[name], getattr(args, name)
            if before != now:
                say_once(f"[Experiment] args.{name}: {told(before)} -> {told(now)}")

    def check_override(self, text: str | None) -> None:
        """Refuse arguments in -o that were needed before it is read: setting them would change nothing."""
        too_late = TOO_LATE | {file.argument: file.flag for file in self.files}
        for field in sorted(_argument_names(text) & too_late.keys()):
            raise UserError(f"-o: args.{field} is needed before -o is read. Use {too_late[field]} instead.")

    def _stored_arguments(self, state: dict[str, Any], path: Path, training: bool) -> dict[str, Any]:
        """The arguments of the run, after checking what else the checkpoint has to hold."""
        from . import checkpoint as checkpoints

        for key in ("Args", "Config"):
            if key not in state:
                raise UserError(
                    f"{path} has no '{key}', so it is not a {self.kind} checkpoint. To start from its "
                    f"weights only, use -i together with {self.weights_only}."
                )
        if isinstance(state["Args"], argparse.Namespace):  # of the public S3PRL
            state = {**state, "Args": vars(state["Args"])}
        for key in ("Args", "Config"):
            checkpoints.check_entry(state, key, dict, str(path))
            wrong = [name for name in state[key] or () if not isinstance(name, str)]
            if wrong or state[key] is None:
                raise UserError(
                    f"{path}: '{key}' must hold values by name, so it is not a {self.kind} checkpoint."
                )
            with checkpoints.usable(key, str(path)):
                differences(state[key], {})  # does not end where a value contains itself
        for name in self.sections:
            checkpoints.check_entry(state["Config"], name, dict, f"{path}, Config")
        stored = self.check(state, state["Args"], path, training)
        if training:
            checkpoints.check_entries(state, str(path), checkpoints.RESUMED)
        return stored

    def _refuse_contradictions(
        self,
        args: argparse.Namespace,
        typed: Mapping[str, Typed],
        stored: dict[str, Any],
        config: dict[str, Any],
        path: Path,
    ) -> None:
        """Stop where an option differs from the run, so that none is ignored silently.

        Options whose arguments -o sets are passed over, because -o wins.
        """
        settled = {
            *KEPT, *self.kept, *self.of_a_launch, *COMPARED_OTHERWISE, *self.compared_otherwise,
            *(file.argument for file in self.files), *_argument_names(args.override),
        }  # fmt: skip
        found = []
        for name, (flag, default) in typed.items():
            before, now = stored.get(name, default), getattr(args, name)
            if name not in settled and not _same(before, now, stored.get("launch_dir")):
                text = f"{flag}: the run has {told(before)}, the command {told(now)}"
                found.append(Contradiction(text, f"args.{name}={now!r}"))
        if "init_ckpt" in typed:
            if not args.auto_resume:
                raise UserError(
                    "-e goes on with everything of a run, -i takes only weights. Give one of them."
                )
            say_once(
                "[Experiment] -i counts at the start of a run only; this one goes on from its own checkpoint."
            )
        found += _other_folder(args, typed, path.parent)
        for file in self.files:
            if file.argument in typed:
                found += self._other_config(file, args, stored, config)
        if not found:
            return
        listed = "\n".join(f"  {one.text}" for one in found)
        override = ",,".join(one.override for one in found)
        raise UserError(
            f"The command contradicts the run in {path.parent}:\n{listed}\n"
            f"Leave {'these options' if len(found) > 1 else 'this option'} out to take the run as it is; or "
            f'use -o, which wins: -o "{override}"; or start a new run from its weights: -i {path} with '
            "another -n."
        )

    def _other_config(
        self, file: ConfigFile, args: argparse.Namespace, stored: dict[str, Any], config: dict[str, Any]
    ) -> list[Contradiction]:
        """Whether a config file differs from the run's config, apart from what -o has set, then or now."""
        path = getattr(args, file.argument)
        content = load_yaml(find_path(path), expand=False)
        changed = self._changed_since(file, stored, config, content, _config_fields(args.override))
        if not changed:
            return []
        fields = [
            f"{name} is {told(b)} in the run, {told(n)} in the file" for name, (b, n) in changed.items()
        ]
        more = f"; and {len(fields) - NAMED} more" if len(fields) > NAMED else ""
        name, (before, now) = next(iter(changed.items()))
        new, value = "+" if before is MISSING else "", None if now is MISSING else now
        override = f"{new}config.{name}={value!r}" + (",,…" if len(changed) > 1 else "")
        return [Contradiction(f"{file.flag} {path}: {'; '.join(fields[:NAMED])}{more}", override)]

    def _notice_changed_file(self, file: ConfigFile, stored: dict[str, Any], config: dict[str, Any]) -> None:
        """One line where a file of the run's config has changed since: it is not read again."""
        path = find_path(stored.get(file.argument) or "", stored.get("launch_dir"))
        with suppress(UserError):
            changed = self._changed_since(file, stored, config, load_yaml(path, expand=False))
            if changed:
                say_once(
                    f"[Experiment] {path} has changed since this run began "
                    f"({', '.join(list(changed)[:NAMED])}). The run keeps its own config; -o changes it."
                )

    def _changed_since(
        self,
        file: ConfigFile,
        stored: dict[str, Any],
        config: dict[str, Any],
        content: dict[str, Any],
        now: set[str] = frozenset(),
    ) -> dict[str, tuple[Any, Any]]:
        """Fields that differ between the run and a config file, besides those that -o has set."""
        if file.section is None:
            apart = {other.section for other in self.files}
            config = {name: section for name, section in config.items() if name not in apart}
        else:
            config, content = {file.section: config.get(file.section)}, {file.section: content}
        own = {*(stored.get("overridden") or ()), *_config_fields(stored.get("override")), *now}
        return {name: pair for name, pair in differences(config, content).items() if not is_within(name, own)}


def overridden_fields(args: argparse.Namespace) -> list[str]:
    """The fields of the config, by dotted names, that -o has set in this run, now or before."""
    return sorted({*getattr(args, "overridden", ()), *_config_fields(args.override)})


def _other_folder(args: argparse.Namespace, typed: Mapping[str, Typed], folder: Path) -> list[Contradiction]:
    """Training continues in the folder of its checkpoint. An evaluation may write elsewhere."""
    given = [typed[name].flag for name in ("expdir", "expname") if name in typed]
    if getattr(args, "mode", "train") != "train" or not given or "expdir" in _argument_names(args.override):
        return []
    if Path(args.expdir).resolve() == folder.resolve():
        return []
    text = f"{given[0]}: the run is in {folder}, the command says {args.expdir}"
    return [Contradiction(text, f"args.expdir={args.expdir!r}")]


def _same(before: Any, now: Any, launch_dir: str | None) -> bool:
    """Whether two values are equal, or two ways to write the same path (FILE,MEAN,STD included)."""
    if before == now or not (isinstance(before, str) and isinstance(now, str)):
        return before == now
    one, other = (
        [find_path(part, folder).resolve() for part in text.split(",")]
        for text, folder in ((before, launch_dir), (now, None))
    )
    return one == other


def _argument_names(override: str | None) -> set[str]:
    return {field.removeprefix("args.") for field, _ in parse_override(override) if field.startswith("args.")}


def _config_fields(override: str | None) -> set[str]:
    """Fields of the config in an override text; nothing in one of the public S3PRL that cannot be read."""
    with suppress(UserError):
        fields = [field.lstrip("+") for field, _ in parse_override(override)]
        return {field.removeprefix("config.") for field in fields if field.startswith("config.")}
    return set()
