"""UniSpeech-SAT: published values; the heads of its pre-training are not needed."""

import golden
import torch

from s3prl import hub


def test_hidden_states_equal_the_published_values():
    data = golden.load("unispeech_sat")
    golden.check(hub.unispeech_sat_local(ckpt=str(data.folder / "ckpt.pt")), data)


def test_heads_of_pre_training_are_passed_over(tmp_path):
    data = golden.load("unispeech_sat")
    state = torch.load(data.folder / "ckpt.pt", weights_only=True)
    for name in ("label_embs_concat", "spk_proj.weight", "quantizer.vars", "layer_norm_for_extract.bias"):
        state["model"][name] = torch.zeros(2)
    torch.save(state, tmp_path / "ckpt.pt")
    golden.check(hub.unispeech_sat_local(ckpt=str(tmp_path / "ckpt.pt")), data)
