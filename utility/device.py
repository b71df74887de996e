"""Which device to use, and whether it has run out of memory."""

from s3prl.utility.errors import UserError


def choose_device(wanted: str | None) -> str:
    """The device to use, after checking that it exists; raises a UserError when it does not."""
    import torch

    if wanted is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(wanted).type
    except RuntimeError as error:
        raise UserError(f"--device {wanted}: {str(error).splitlines()[0]}") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise UserError(f"--device {wanted}: PyTorch sees no CUDA GPU here. Use --device cpu.")
    return wanted


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error means that a device (or the machine) has no memory left."""
    import torch

    text = str(error).lower()
    return (
        isinstance(error, torch.OutOfMemoryError)
        or "out of memory" in text
        or "can't allocate memory" in text
    )
