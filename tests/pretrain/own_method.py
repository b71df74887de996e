"""A method of pre-training in a folder of the user's, `./toy`, that needs no audio and takes no time."""

from pathlib import Path

import yaml

EXPERT = """
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from ..common.expert import PretrainExpert
from .size import checked_size


class UpstreamPretrainExpert(PretrainExpert):
    def __init__(self, datarc, upstream_config, device="cpu", multi_gpu=False, **kwargs):
        super().__init__(datarc, upstream_config, device, multi_gpu)
        layer = torch.nn.Linear(checked_size(upstream_config), 1)
        self.model = torch.nn.Sequential(layer, torch.nn.Dropout(0.1))

    def get_train_dataloader(self):
        assert Path(self.datarc.libri_root).is_dir(), "a relative path that is not found"
        rows = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
        return DataLoader(list(rows), batch_size=self.datarc.train_batch_size, shuffle=True)

    def forward(self, data, records, **kwargs):
        data = torch.stack(data)
        loss = (self.model(data) - data.sum(1, keepdim=True)).pow(2).mean()
        records["error"].append(loss.detach())
        return loss, records
"""
SIZE = '''
"""In a module beside the expert, which only a mounted folder can import."""

def checked_size(upstream_config):
    return upstream_config["size"]
'''
RUNNER = {
    "runner": {
        "n_epochs": -1, "total_steps": 8, "gradient_clipping": 5.0, "gradient_accumulate_steps": 1,
        "log_step": 2, "save_step": 2, "max_keep": 9, "draw_curves": False,
    },
    "optimizer": {"name": "TorchOptim", "torch_optim_name": "Adam", "lr": 1e-2},
    "pretrain_expert": {"datarc": {"num_workers": 0, "train_batch_size": 4, "libri_root": "${TOY_ROOT}"}},
}  # fmt: skip
MODEL = {"size": 3, "task": {"noise": 0.5}}


def write_method(folder: Path) -> Path:
    """Write the method to a folder, and beside it the folder of its data, `corpus`; returns it."""
    folder.mkdir(parents=True)
    (folder.parent / "corpus").mkdir(exist_ok=True)
    (folder / "__init__.py").write_text('"""Sums, which anybody can predict."""\n')
    (folder / "pretrain_expert.py").write_text(EXPERT)
    (folder / "size.py").write_text(SIZE)
    (folder / "config_runner.yaml").write_text(yaml.safe_dump(RUNNER))
    (folder / "config_model.yaml").write_text(yaml.safe_dump(MODEL))
    return folder
