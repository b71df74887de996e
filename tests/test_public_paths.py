"""Import paths of the public S3PRL, which third-party tasks and upstreams use, keep answering."""

import importlib
import importlib.util
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from public_package import public_package_or_skip
from torch import nn

from s3prl.upstream.mockingjay.model import TransformerEncoder
from s3prl.utility import helper
from s3prl.utility.data import get_ddp_sampler
from s3prl.utility.errors import UserError

HPARAMS = {
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-12,
    "share_layer": False,
    "pre_layer_norm": False,
}


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("s3prl.downstream.model", "FrameLevel UtteranceLevel MeanPooling AttentivePooling"),
        ("s3prl.downstream.model", "AttentivePoolingModule get_downstream_model torch nn"),
        ("s3prl.hub", "fbank"),
        ("s3prl.optimizers", "get_optimizer"),
        ("s3prl.schedulers", "get_scheduler"),
        ("s3prl.upstream.interfaces", "UpstreamBase Featurizer SAMPLE_RATE"),
        ("s3prl.upstream.mockingjay.model", "TransformerConfig TransformerEncoder TransformerModel"),
        ("s3prl.util.download", "_urls_to_filepaths urls_to_filepaths set_dir"),
        ("s3prl.utility.data", "get_ddp_sampler"),
        ("s3prl.utility.download", "_urls_to_filepaths"),
        ("s3prl.utility.helper", "is_leader_process get_model_state show count_parameters"),
        ("s3prl.utility.helper", "count_used_parameters get_time_tag backup zero_mean_unit_var_norm"),
    ],
)
def test_a_public_path_has_the_names_that_plug_ins_import(module, names):
    found = importlib.import_module(module)
    assert [name for name in names.split() if not hasattr(found, name)] == []


def test_optimizer_and_schedule_are_built_by_the_public_calls():
    from s3prl.optimizers import get_optimizer
    from s3prl.schedulers import get_scheduler

    models = [nn.Linear(2, 3), nn.Linear(3, 1)]
    optimizer = get_optimizer(models, total_steps=10, optimizer_config={"name": "Adam", "lr": 0.5})
    config = {"name": "linear_schedule_with_warmup", "num_warmup_steps": 2}
    scheduler = get_scheduler(optimizer, total_steps=10, scheduler_config=config)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 4
    assert scheduler.get_last_lr() == [0.0]
    optimizer.step()
    scheduler.step()
    assert scheduler.get_last_lr() == [0.25]
    assert config["name"] == "linear_schedule_with_warmup"  # the caller's own block stays whole


def test_a_lone_process_leads_and_needs_no_sampler(capsys):
    assert helper.is_leader_process()
    helper.show("said", "once")
    assert capsys.readouterr().out == "said once\n"
    assert get_ddp_sampler([1, 2, 3], epoch=4) is None


def test_parameters_are_counted_as_trainable_and_as_reached():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    model[1].requires_grad_(False)
    assert helper.count_parameters(model) == 8
    assert helper.count_used_parameters(model) == 0
    model(torch.ones(1, 3)).sum().backward()
    assert helper.count_used_parameters(model) == 8
    assert helper.get_model_state(model).keys() == model.state_dict().keys()


def test_a_backup_carries_the_time_in_its_name(tmp_path):
    (tmp_path / "config.yaml").write_text("runner: {}\n")
    (tmp_path / "kept").mkdir()
    helper.backup(tmp_path / "config.yaml", tmp_path / "kept")
    (copy,) = (tmp_path / "kept").glob("config_20??-??-??-??-??-??.yaml")
    assert copy.read_text() == "runner: {}\n"


def test_waves_are_normalised_one_by_one():
    waves = [np.array([1.0, 3.0], np.float32), np.array([5.0, 5.0, 5.0], np.float32)]
    first, second = helper.zero_mean_unit_var_norm(waves)
    assert first == pytest.approx([-1, 1], abs=1e-4)
    assert second == pytest.approx([0, 0, 0])


def test_the_transformer_encoder_does_not_see_what_the_mask_hides():
    torch.manual_seed(0)
    encoder = TransformerEncoder(config=Namespace(**HPARAMS)).eval()
    hidden = torch.randn(2, 5, 12)
    mask = torch.zeros(2, 1, 1, 5)
    mask[1, ..., 3:] = -100000.0
    (last,) = encoder(hidden, mask, head_mask=[None, None], output_all_encoded_layers=False)
    (alone,) = encoder(hidden[1:, :3], mask[1:, ..., :3], output_all_encoded_layers=False)
    torch.testing.assert_close(last[1:, :3], alone)
    assert len(encoder(hidden, mask)) == 3


def test_the_transformer_encoder_says_what_it_does_not_offer():
    with pytest.raises(UserError, match="output_attentions"):
        TransformerEncoder(Namespace(**HPARAMS), output_attentions=True)
    encoder = TransformerEncoder(Namespace(**HPARAMS))
    with pytest.raises(UserError, match="head_mask"):
        encoder(torch.randn(1, 2, 12), head_mask=[torch.ones(3), None])


@pytest.mark.parametrize("pre_layer_norm", [False, True])
def test_the_transformer_encoder_computes_what_the_public_one_does(pre_layer_norm):
    public = load_file(public_package_or_skip() / "upstream" / "mockingjay" / "model.py")
    config = Namespace(**HPARAMS | {"pre_layer_norm": pre_layer_norm})
    torch.manual_seed(0)
    theirs, ours = public.TransformerEncoder(config).eval(), TransformerEncoder(config).eval()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.3)
    ours.load_state_dict(theirs.state_dict())
    hidden, mask = torch.randn(2, 7, 12), torch.zeros(2, 1, 1, 7)
    mask[0, ..., 4:] = -100000.0
    for every in (True, False):
        options = {"output_all_encoded_layers": every, "head_mask": [None, None]}
        torch.testing.assert_close(ours(hidden, mask, **options), theirs(hidden, mask, **options))


def load_file(path: Path):
    """The module in a file, by no name that anybody imports."""
    spec = importlib.util.spec_from_file_location(f"public_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
