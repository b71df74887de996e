"""The picture of the house: which room may import which, and no circles."""

import ast
from pathlib import Path

from conftest import ROOT

# From the top down: a room imports only rooms below it (and itself).
ROOMS = ("run", "pretrain", "downstream", "training", "preprocess", "hub", "upstream", "utility")
FORBIDDEN = {"training": ("upstream", "preprocess")}


def modules() -> dict[str, Path]:
    """Every module of the project by its dotted name below s3prl."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[0] in ("tests", "benchmarks", "data", "result", "build", "dist") or parts[0].startswith("."):
            continue
        if parts[0] == "s3prl":  # the public paths; __init__ makes the name
            parts = ("s3prl_paths", *parts[1:])
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(name: str, path: Path, known: dict[str, Path], whole: bool) -> set[str]:
    """Modules of the project that a module imports; with `whole` also inside of functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in ast.walk(tree) if whole else tree.body:
        if isinstance(node, ast.Import):
            found.update(alias.name.removeprefix("s3prl.") for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            if node.level:
                base = package[: len(package) - node.level + 1]
                module = ".".join([*base, *([node.module] if node.module else [])])
            elif node.module == "s3prl" or (node.module or "").startswith("s3prl."):
                module = node.module.removeprefix("s3prl").removeprefix(".")
            else:
                continue
            found.update(f"{module}.{alias.name}".removeprefix(".") for alias in node.names)
            found.add(module)
    return {one for one in found if one in known and one != name}


def graph(whole: bool) -> dict[str, set[str]]:
    known = modules()
    return {name: imports_of(name, path, known, whole) for name, path in known.items()}


def room(name: str) -> str:
    first = name.split(".")[0]
    return "run" if first.startswith("run_") else first


def test_calls_go_down_only():
    wrong = [
        f"{name} imports {other}"
        for name, others in graph(whole=True).items()
        for other in others
        if room(name) in ROOMS and room(other) in ROOMS
        if ROOMS.index(room(other)) < ROOMS.index(room(name)) or room(other) in FORBIDDEN.get(room(name), ())
    ]
    assert not wrong


def test_there_is_no_circle_of_imports():
    edges, state = graph(whole=True), {}
    circles = []

    def visit(name, path):
        state[name] = "open"
        for other in sorted(edges[name]):
            if state.get(other) == "open":
                circles.append([*path[path.index(other) :], other])
            elif other not in state:
                visit(other, [*path, other])
        state[name] = "done"

    for name in edges:
        if name not in state:
            visit(name, [name])
    assert not circles


def families(folder: str, mark: str) -> set[str]:
    return {path.parent.name for path in (ROOT / folder).glob(f"*/{mark}")}


def test_no_model_family_no_task_and_no_method_imports_another():
    plug_ins = {
        "upstream": families("upstream", "hubconf.py"),
        "downstream": families("downstream", "expert.py"),
        "pretrain": families("pretrain", "pretrain_expert.py"),
    }
    wrong = []
    for name, others in graph(whole=True).items():
        first, *inner = name.split(".")
        if first not in plug_ins or not inner or inner[0] not in plug_ins[first]:
            continue
        for other in others:
            there = other.split(".")
            if there[0] == first and len(there) > 1 and there[1] in plug_ins[first] - {inner[0]}:
                wrong.append(f"{name} imports {other}")
    assert not wrong


def test_the_asr_task_fits_on_two_screens():
    folder = ROOT / "downstream" / "asr"
    lines = {path.name: len(path.read_text().splitlines()) for path in folder.glob("*.py")}
    assert lines["expert.py"] < 110 and sum(lines.values()) < 140, lines
