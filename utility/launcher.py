"""What torchrun says of this process, known before PyTorch is loaded."""

import os


def is_first() -> bool:
    """Whether this process speaks for all of a run: it is alone, or the first that torchrun has started."""
    return os.environ.get("RANK", "0") == "0"


def say_once(text: str) -> None:
    """Print a line, once for all processes."""
    if is_first():
        print(text, flush=True)
