"""What holds for every family: golden values through the hub, alone as in a batch, trainable, saved."""

import golden
import pytest
import torch

from s3prl import hub
from s3prl.upstream.interfaces import traits_of
from s3prl.utility.errors import UserError

# fixture -> entry of the hub
FIXTURES = {
    "apc": "apc_local",
    "vq_apc": "vq_apc_local",
    "audio_albert": "audio_albert_local",
    "byol_a": "byol_a_local",
    "cpc": "cpc_local",
    "data2vec": "data2vec_local",
    "decoar": "decoar_local",
    "decoar2": "decoar2_local",
    "distilhubert": "distiller_local",
    "hubert_base": "hubert_local",
    "hubert_large": "hubert_local",
    "m2d": "m2d",
    "m2d_speech": "m2d",
    "mockingjay": "mockingjay_local",
    "mockingjay_preln": "mockingjay_local",
    "npc": "npc_local",
    "pase_plus": "pase_local",
    "tera": "tera_local",
    "tera_fbank_chunked": "tera_local",
    "unispeech_sat": "unispeech_sat_local",
    "vq_wav2vec_gumbel": "vq_wav2vec_local",
    "vq_wav2vec_kmeans": "vq_wav2vec_local",
    "wav2vec": "wav2vec_local",
    "wav2vec2_base": "wav2vec2_local",
    "wav2vec2_large": "wav2vec2_local",
    "wavlm_base": "wavlm_local",
    "wavlm_large": "wavlm_local",
}
STATISTICS = {"m2d": ",-9.25,3.9", "m2d_speech": ",-10.57,4.37"}  # follow the file in -k
# the batch changes values: always, or only with the option that gives the public S3PRL's values for it
CHANGED = [
    "cpc", "data2vec", "distilhubert", "hubert_base", "hubert_large", "pase_plus", "unispeech_sat",
    "vq_wav2vec_gumbel", "vq_wav2vec_kmeans", "wav2vec", "wav2vec2_base", "wavlm_base", "wavlm_large",
]  # fmt: skip
CHANGED_IN_PUBLIC = [
    "audio_albert", "m2d", "m2d_speech", "mockingjay", "mockingjay_preln", "npc", "tera",
    "tera_fbank_chunked",
]  # fmt: skip
NO_DOWNLOAD = [
    "baseline", "customized_upstream", "example", "fbank", "fbank_no_cmvn", "linear", "log_stft",
    "m2d_calcnorm", "mel", "mfcc", "spectrogram", "stft_mag",
]  # fmt: skip


def checkpoints(fixture):
    return [name for name in golden.load(fixture).files if not name.endswith(".cfg")]


def build(fixture, file=None, **options):
    data = golden.load(fixture)
    if fixture == "pase_plus":
        options["model_config"] = str(data.folder / "model.cfg")
    if fixture == "decoar2":
        options["encoder_attention_heads"] = 4  # does not show in the weights; 12 in the published model
    ckpt = str(data.folder / (file or checkpoints(fixture)[0])) + STATISTICS.get(fixture, "")
    return hub.get(FIXTURES[fixture])(ckpt=ckpt, refresh=False, **options)


@pytest.mark.parametrize(
    ("fixture", "file"), [(name, file) for name in FIXTURES for file in checkpoints(name)]
)
def test_every_format_gives_the_published_values(fixture, file):
    golden.check(build(fixture, file, public_batch=True), golden.load(fixture))


@pytest.mark.parametrize("public_batch", [False, True])
@pytest.mark.parametrize("fixture", FIXTURES)
def test_a_family_says_whether_the_batch_changes_values(fixture, public_batch):
    expert = build(fixture, public_batch=public_batch)
    changed = fixture in CHANGED or (public_batch and fixture in CHANGED_IN_PUBLIC)
    assert traits_of(expert).batch_invariant == (not changed)
    difference = golden.check_invariance(expert, golden.load(fixture), None if changed else 1e-4)
    assert not changed or difference > 1e-4, "the batch changes nothing after all"


@pytest.mark.parametrize("fixture", [name for name in FIXTURES if "alone" in golden.load(name).expected])
def test_in_a_batch_an_utterance_has_the_public_values_that_it_has_alone(fixture):
    options = {"alone": True} if fixture in CHANGED else {}
    golden.check_alone(build(fixture, **options), golden.load(fixture))


@pytest.mark.parametrize("fixture", FIXTURES)
def test_with_alone_the_batch_changes_nothing(fixture):
    expert = build(fixture, alone=True)
    assert traits_of(expert).batch_invariant
    assert golden.check_invariance(expert, golden.load(fixture)) <= 1e-4


@pytest.mark.parametrize("fixture", FIXTURES)
def test_a_family_is_deterministic_trainable_and_saved(fixture):
    golden.check_contract(build(fixture), golden.load(fixture).wavs)


@pytest.mark.parametrize("name", NO_DOWNLOAD)
def test_every_name_without_download_works(name):
    wavs = [torch.randn(samples) * 0.1 for samples in (16000, 9000, 12345)]
    golden.check_contract(hub.get(name)(ckpt=None, model_config=None, refresh=False), wavs)


@pytest.mark.parametrize("entry", sorted({*FIXTURES.values()} - {"m2d"}))
def test_a_checkpoint_that_is_not_there_is_named(entry, tmp_path):
    with pytest.raises(UserError, match=r"absent\.ckpt"):
        hub.get(entry)(ckpt=str(tmp_path / "absent.ckpt"), model_config=None, refresh=False)


@pytest.mark.parametrize("entry", sorted({*FIXTURES.values()} - {"m2d"}))
def test_a_checkpoint_of_another_kind_is_refused_with_its_name(entry, tmp_path):
    torch.save({"weights_of_something_else": {"a.weight": torch.zeros(2)}}, tmp_path / "other.ckpt")
    with pytest.raises(UserError, match=r"other\.ckpt"):
        hub.get(entry)(ckpt=str(tmp_path / "other.ckpt"), model_config=None, refresh=False)


@pytest.mark.parametrize("entry", sorted({*FIXTURES.values()}))
def test_without_a_checkpoint_the_message_says_how_to_give_one(entry):
    with pytest.raises(UserError, match="-k"):
        hub.get(entry)(ckpt=None, model_config=None, refresh=False)
