"""A checkpoint file is loaded by the names of its own family, and refused by those of any other."""

import re
import shutil

import golden
import pytest
import torch
from test_families import FIXTURES, STATISTICS, build, checkpoints

from s3prl import hub
from s3prl.training.checkpoint import load
from s3prl.upstream.families import ALIKE, NAMES, family_of, refuse_others
from s3prl.upstream.loading import STAND_INS
from s3prl.utility.errors import UserError

FAMILIES = {
    fixture: "m2d" if entry == "m2d" else entry.removesuffix("_local") for fixture, entry in FIXTURES.items()
}
FILES = [(fixture, file) for fixture in FIXTURES for file in checkpoints(fixture)]
FAIRSEQ = ["wav2vec2_base", "wav2vec2_large", "hubert_base", "hubert_large", "data2vec"]


def others(family):
    """Every family whose entries must refuse a file of this one."""
    alike = ALIKE if family in ALIKE else (family,)
    return [other for other in NAMES if other not in alike]


@pytest.mark.parametrize(("fixture", "file"), FILES)
def test_a_file_is_refused_under_the_name_of_every_other_family(fixture, file):
    path, family = golden.load(fixture).folder / file, FAMILIES[fixture]
    state = load(path, stand_ins=STAND_INS)
    assert family_of(state) == ("tera" if family in ALIKE else family)
    refuse_others(state, path, family)
    for other in others(family):
        told = rf"is a checkpoint of .*{re.escape(NAMES[family])}.*, not of {re.escape(NAMES[other])}\."
        with pytest.raises(UserError, match=told):
            refuse_others(state, path, other)


def test_every_family_has_a_file_here():
    assert set(FAMILIES.values()) == set(NAMES)


@pytest.mark.parametrize("family", NAMES)
def test_an_entry_of_every_family_names_the_family_of_another_file_and_its_entry(family):
    fixture = "hubert_base" if family != "hubert" else "wav2vec2_base"
    found = FAMILIES[fixture]
    path = golden.load(fixture).folder / "ckpt_fairseq.pt"
    told = rf"ckpt_fairseq\.pt is a checkpoint of {NAMES[found]}, not of .*-u {found}_local -k "
    with pytest.raises(UserError, match=told):
        hub.get(f"{family}_local")(ckpt=str(path), model_config=None, refresh=False)


@pytest.mark.parametrize(
    ("entry", "fixture", "advice"),
    [
        ("hubert", "wav2vec2_base", "-u wav2vec2_local"),
        ("wav2vec2", "hubert_large", "-u hubert_local"),
        ("wav2vec2_local", "data2vec", "-u data2vec_local"),
        ("wavlm_base", "unispeech_sat", "-u unispeech_sat_local"),
        ("wav2vec_local", "vq_wav2vec_gumbel", "-u vq_wav2vec_local"),
        ("vq_wav2vec_local", "wav2vec", "-u wav2vec_local"),
        ("apc_local", "vq_apc", "-u vq_apc_local"),
        ("tera_local", "audio_albert", "-u audio_albert_local"),
        ("decoar_local", "decoar2", "-u decoar2_local"),
    ],
)
def test_the_message_names_the_entry_to_use(entry, fixture, advice):
    path = golden.load(fixture).folder / checkpoints(fixture)[0]
    with pytest.raises(UserError, match=f"{advice} -k {path}"):
        hub.get(entry)(ckpt=str(path))


@pytest.mark.parametrize("fixture", FAIRSEQ)
@pytest.mark.parametrize("kept", [("_name",), ("label_rate", "average_top_k_layers", "quantize_targets")])
def test_a_fine_tuned_network_is_recognised_by_its_name_or_its_options(fixture, kept):
    state = load(golden.load(fixture).folder / "ckpt_fairseq.pt", stand_ins=STAND_INS)
    model = {name: value for name, value in state["cfg"]["model"].items() if name in kept}
    weights = {f"w2v_encoder.w2v_model.{name}": value for name, value in state["model"].items()}
    weights = {name: value for name, value in weights.items() if "encoder.layers" in name or "conv_l" in name}
    tuned = {"_name": "wav2vec_ctc" if kept == ("_name",) else None, "w2v_args": {"model": model}}
    assert family_of({"cfg": {"model": tuned}, "model": weights}) == FAMILIES[fixture]


def test_an_unrecognised_file_is_left_to_the_entry_that_was_asked():
    state = {"model": {"encoder.weight": torch.zeros(1)}, "cfg": {"model": {"layers": 3}}}
    assert family_of(state) is None
    refuse_others(state, "mine.pt", "hubert")


def test_a_model_of_the_transformers_library_is_sent_to_hf(tmp_path):
    build("hubert_base").model.save_pretrained(tmp_path, safe_serialization=True)
    with pytest.raises(UserError, match=rf"is a folder.*-u hf -k {tmp_path}"):
        hub.hubert_local(ckpt=str(tmp_path))
    weights = build("hubert_base").model.state_dict()
    torch.save({f"hubert.{name}": value for name, value in weights.items()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"format of the transformers library.*-u hf -k FOLDER"):
        hub.hubert_local(ckpt=str(tmp_path / "pytorch_model.bin"))


def test_a_checkpoint_of_a_downstream_run_is_sent_to_e(tmp_path):
    torch.save({"Downstream": {"head.weight": torch.zeros(1)}, "Step": 3}, tmp_path / "states-3.ckpt")
    with pytest.raises(UserError, match="checkpoint of a downstream run, not of TERA: give it to -e"):
        hub.tera_local(ckpt=str(tmp_path / "states-3.ckpt"))


@pytest.mark.parametrize("name", ["contentvec", "contentvec_km100", "contentvec_km500"])
def test_contentvec_is_read_as_the_hubert_that_it_is(name, tmp_path):
    data = golden.load("hubert_base")
    state = load(data.folder / "ckpt.pt")
    state["model_cfg"] |= {"ctr_layers": [-6], "encoder_layers_1": 3}  # options of its own, without weights
    torch.save(state, tmp_path / f"{name}.pt")
    golden.check(hub.get(name)(ckpt=str(tmp_path / f"{name}.pt")), data)


def test_the_file_of_contentvec_is_the_one_of_the_public_package():
    from s3prl.upstream import checkpoints as published

    address = "https://huggingface.co/s3prl/converted_ckpts/resolve/main/contentvec_km{}.pt"
    for name, clusters in (("contentvec", 100), ("contentvec_km100", 100), ("contentvec_km500", 500)):
        row = published.find(name)
        assert (row.url, row.hub, row.upstream) == (address.format(clusters), None, "hubert")


def test_m2d_names_the_family_of_another_file_too(tmp_path):
    shutil.copy(golden.load("cpc").folder / "ckpt.pt", tmp_path / "cpc.pt")
    with pytest.raises(UserError, match=r"cpc\.pt is a checkpoint of CPC, not of M2D.*-u cpc_local"):
        hub.m2d(ckpt=f"{tmp_path / 'cpc.pt'}{STATISTICS['m2d']}")
