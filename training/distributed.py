"""One model trained by several processes: equal weights at the start, gradients averaged at every update.

Gradients are averaged once per optimizer update, over all parameters together. No wrapper stands around a
model, so every task works unchanged and checkpoints are those of one process.
"""

from collections.abc import Iterable, Iterator

import torch
import torch.distributed as dist
from torch import nn

from s3prl.utility.processes import world_size

BUCKET_BYTES = 32 * 2**20


def copy_from_leader(modules: Iterable[nn.Module], buffers_only: bool = False) -> None:
    """Give every process the leader's parameters and buffers.

    Buffers that a checkpoint does not hold are left as they are: each process derives its own, such as a
    table of positions that grows with the longest utterance which that process has seen.
    """
    if world_size() == 1:
        return
    for module in modules:
        tensors = list(_kept_buffers(module))
        if not buffers_only:
            tensors += [parameter.data for parameter in module.parameters()]
        for tensor in tensors:
            dist.broadcast(tensor, src=0)


def _kept_buffers(module: nn.Module) -> Iterator[torch.Tensor]:
    """The buffers of a module that its state_dict has."""
    for part in module.modules():
        for name, buffer in part.named_buffers(recurse=False):
            if name not in part._non_persistent_buffers_set:
                yield buffer


def average_gradients(parameters: list[nn.Parameter], dropped: float = 0.0) -> float:
    """Average the gradients over all processes; a parameter without gradient anywhere keeps none.

    Args:
        dropped: a number of this process.

    Returns:
        The mean of `dropped` over all processes.
    """
    if world_size() == 1 or not parameters:
        return dropped
    flags = [float(p.grad is not None) for p in parameters]
    sums = torch.tensor([*flags, dropped], device=parameters[0].device)
    dist.all_reduce(sums)
    *used, dropped = sums.tolist()
    gradients = []
    for parameter, anywhere in zip(parameters, used, strict=True):
        if anywhere:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
    for bucket in _buckets(gradients):
        flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
        dist.all_reduce(flat)
        flat /= world_size()
        for gradient, part in zip(bucket, flat.split([g.numel() for g in bucket]), strict=True):
            gradient.copy_(part.view_as(gradient))
    return dropped / world_size()


def _buckets(gradients: list[torch.Tensor]) -> Iterable[list[torch.Tensor]]:
    """Gradients in groups of one type and a bounded size, so that few large messages are sent."""
    by_type: dict[torch.dtype, list[torch.Tensor]] = {}
    for gradient in gradients:
        bucket = by_type.setdefault(gradient.dtype, [])
        bucket.append(gradient)
        if sum(g.numel() * g.element_size() for g in bucket) >= BUCKET_BYTES:
            yield by_type.pop(gradient.dtype)
    yield from by_type.values()
