"""A room of folders that are chosen by name on the command line, and folders of the user's beside them.

`-d asr` is the folder downstream/asr; `-d ~/my_task` is a folder anywhere. A plug-in is known by its name, or
by the absolute path of its folder.
"""

import importlib
from dataclasses import dataclass
from pathlib import Path

from s3prl.utility.config import nearest
from s3prl.utility.errors import UserError
from s3prl.utility.paths import find_path
from s3prl.utility.plugins import absolute, is_path, mount


@dataclass(frozen=True)
class PluginRoom:
    """The plug-ins of one kind.

    Attributes:
        name: of the room, a folder of the project: downstream.
        module: the module that makes a folder a plug-in: expert.
        door: the class in it.
        option: how the command line chooses one: -d.
        argument: the option's name in the arguments: downstream.
        adjective: of what a plug-in is to the user: a downstream task.
        noun: the task.
    """

    name: str
    module: str
    door: str
    option: str
    argument: str
    adjective: str
    noun: str

    def names(self) -> list[str]:
        """Names of all folders of the room that are plug-ins."""
        marks = (path for place in self._places() for path in place.glob(f"*/{self.module}.py"))
        return sorted({path.parent.name for path in marks})

    def _places(self) -> list[Path]:
        room = importlib.import_module(f"s3prl.{self.name}")
        return [Path(place).resolve() for place in room.__path__]

    def named(self, given: str | None) -> str | None:
        """What the option says, with an absolute path; of a folder of ours its name. Nothing is checked."""
        given = absolute(given)
        if given is not None and is_path(given) and Path(given).parent in self._places():
            return Path(given).name
        return given

    def check(self, given: str | None) -> None:
        """Raise a UserError when there is no such plug-in."""
        names, kind = self.names(), f"{self.adjective} {self.noun}"
        if given is None:
            raise UserError(f"Name the {kind} with {self.option}. Available: {', '.join(names)}.")
        if is_path(given):
            self._check_folder(Path(given))
        elif given not in names:
            hint = nearest(given, names)
            if Path(given, f"{self.module}.py").is_file():
                hint = f" The folder {given} of the working folder is {self.option} ./{given}."
            raise UserError(f"There is no {kind} '{given}'.{hint} Available: {', '.join(names)}.")

    def _check_folder(self, folder: Path) -> None:
        given = f"{self.option} {folder}"
        if not folder.is_dir():
            raise UserError(
                f"{given}: there is no folder {folder.absolute()}. If it was moved after the training, say "
                f"where it is now: -o \"args.{self.argument}='NEW_FOLDER'\"."
            )
        if not (folder / f"{self.module}.py").is_file():
            raise UserError(f"{given}: the folder has no {self.module}.py, so it is not a {self.noun}.")
        places = self._places()
        taken = [place / folder.name for place in places if (place / folder.name).is_dir()]
        taken += [place / f"{folder.name}.py" for place in places if (place / f"{folder.name}.py").is_file()]
        if taken:
            raise UserError(
                f"{given}: the name '{folder.name}' is taken by {taken[0]}. Rename your folder, such as to "
                f"my_{folder.name}."
            )
        if "." in folder.name:
            raise UserError(
                f"{given}: a {self.noun}'s folder is a Python package. Rename it without the dot."
            )

    def folder(self, given: str) -> str:
        """The folder as the command line writes it: `downstream/asr`, or the user's own."""
        return given if is_path(given) else f"{self.name}/{given}"

    def file(self, given: str) -> str:
        """Where the plug-in's code is, for messages."""
        return f"{self.folder(given)}/{self.module}.py"

    def config(self, given: str, name: str = "config.yaml", option: str = "-c") -> str:
        """A config that a plug-in brings along.

        Raises:
            UserError: it brings none of that name, but others to choose from.
        """
        folder = self.folder(given)
        found = find_path(folder)
        others = sorted(path.name for path in found.glob("*.yaml"))
        if others and not (found / name).is_file():
            listed = "".join(f"\n  {option} {folder}/{other}" for other in others)
            raise UserError(
                f"The {self.noun} '{label(given)}' has no {name}. Choose one of its configs:{listed}"
            )
        return f"{folder}/{name}"

    def package(self, given: str) -> str:
        """The package to import a plug-in from; a folder of the user's is mounted first."""
        package = f"s3prl.{self.name}.{label(given)}"
        if is_path(given):
            mount(package, Path(given))
        return package

    def load(self, given: str) -> type:
        """The class of a plug-in's module; a UserError says why it cannot be imported."""
        try:
            module = importlib.import_module(f"{self.package(given)}.{self.module}")
        except ImportError as error:
            raise UserError(
                f"The {self.noun} '{label(given)}' ({self.file(given)}) cannot be imported: {error}. "
                "Install the missing package or mend the file."
            ) from error
        if not hasattr(module, self.door):
            raise UserError(f"{self.file(given)} has no class {self.door}.")
        return getattr(module, self.door)


def label(given: str) -> str:
    """The name alone, also of a folder of the user's."""
    return Path(given).name
