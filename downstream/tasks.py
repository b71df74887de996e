"""Which tasks there are: the folders here, and folders of the user's anywhere (`-d PATH`).

A task is known by its name, or by the absolute path of its folder.
"""

from pathlib import Path

import s3prl.downstream
from s3prl.utility.config import nearest
from s3prl.utility.errors import UserError
from s3prl.utility.paths import find_path
from s3prl.utility.plugins import absolute, is_path, mount


def tasks() -> list[str]:
    """Names of all downstream folders that hold an expert.py."""
    return sorted({path.parent.name for place in _places() for path in place.glob("*/expert.py")})


def _places() -> list[Path]:
    return [Path(place).resolve() for place in s3prl.downstream.__path__]


def named(task: str | None) -> str | None:
    """What `-d` says, with an absolute path; of a folder of ours its name. Nothing is checked."""
    task = absolute(task)
    if task is not None and is_path(task) and Path(task).parent in _places():
        return Path(task).name
    return task


def check_task(task: str | None) -> None:
    """Raise a UserError when there is no such downstream task."""
    if task is None:
        raise UserError(f"Name the downstream task with -d. Available: {', '.join(tasks())}.")
    if is_path(task):
        _check_folder(Path(task))
    elif task not in tasks():
        hint = nearest(task, tasks())
        if Path(task, "expert.py").is_file():
            hint = f" The folder {task} of the working folder is -d ./{task}."
        raise UserError(f"There is no downstream task '{task}'.{hint} Available: {', '.join(tasks())}.")


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise UserError(
            f"-d {folder}: there is no folder {folder.absolute()}. If it was moved after the training, say "
            "where it is now: -o \"args.downstream='NEW_FOLDER'\"."
        )
    if not (folder / "expert.py").is_file():
        raise UserError(f"-d {folder}: the folder has no expert.py, so it is not a task.")
    taken = [place / folder.name for place in _places() if (place / folder.name).is_dir()]
    taken += [place / f"{folder.name}.py" for place in _places() if (place / f"{folder.name}.py").is_file()]
    if taken:
        raise UserError(
            f"-d {folder}: the name '{folder.name}' is taken by {taken[0]}. Rename your folder, such as to "
            f"my_{folder.name}."
        )
    if "." in folder.name:
        raise UserError(f"-d {folder}: a task's folder is a Python package. Rename it without the dot.")


def label(task: str) -> str:
    """The name alone, also of a folder of the user's."""
    return Path(task).name


def expert_file(task: str) -> str:
    """Where the task's code is, for messages."""
    return f"{task}/expert.py" if is_path(task) else f"downstream/{task}/expert.py"


def default_config(task: str) -> str:
    """The config that a task brings along.

    Raises:
        UserError: it brings none of that name, but others to choose from.
    """
    folder = task if is_path(task) else f"downstream/{task}"
    found = find_path(folder)
    others = sorted(path.name for path in found.glob("*.yaml"))
    if others and not (found / "config.yaml").is_file():
        listed = "".join(f"\n  -c {folder}/{name}" for name in others)
        raise UserError(f"The task '{label(task)}' has no config.yaml. Choose one of its configs:{listed}")
    return f"{folder}/config.yaml"


def package_of(task: str) -> str:
    """The package to import a task from; a folder of the user's is mounted first."""
    package = f"s3prl.downstream.{label(task)}"
    if is_path(task):
        mount(package, Path(task))
    return package
