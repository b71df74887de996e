"""The sampler helper that tasks of the public S3PRL import."""

from torch.distributed import is_initialized
from torch.utils.data import Dataset, DistributedSampler


def get_ddp_sampler(dataset: Dataset, epoch: int) -> DistributedSampler | None:
    """A DistributedSampler set to `epoch` where several processes train, else None.

    The runner plans epochs itself (s3prl.training.sampling), so a new task needs no sampler.
    """
    if not is_initialized():
        return None
    sampler = DistributedSampler(dataset)
    sampler.set_epoch(epoch)
    return sampler
