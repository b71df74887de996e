"""data2vec: published values; the parts of pre-training that files keep are not needed."""

import golden
import pytest
import torch

from s3prl import hub


@pytest.mark.parametrize("file", golden.load("data2vec").files)
def test_hidden_states_equal_the_published_values(file):
    data = golden.load("data2vec")
    golden.check(hub.data2vec_local(ckpt=str(data.folder / file)), data)


@pytest.mark.parametrize("head", ["final_proj.weight", "final_proj.0.weight"])
def test_teacher_and_head_of_pre_training_are_passed_over(head, tmp_path):
    data = golden.load("data2vec")
    state = torch.load(data.folder / "ckpt.pt", weights_only=True)
    state["model_weight"]["_ema"] = {"layers.0.fc1.weight": torch.zeros(2, 2)}
    state["model_weight"][head] = torch.zeros(2, 2)
    torch.save(state, tmp_path / "ckpt.pt")
    golden.check(hub.data2vec_local(ckpt=str(tmp_path / "ckpt.pt")), data)
