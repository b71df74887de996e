"""Models of the Hugging Face hub, stood for by tiny ones with random weights."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from golden import check_contract, check_copies

from s3prl.upstream.checkpoints import find
from s3prl.upstream.common.transformers.adapter import TransformersUpstream, padded
from s3prl.upstream.common.transformers.library import transformers
from s3prl.upstream.common.transformers.loading import from_repository
from s3prl.upstream.hf import hubconf
from s3prl.upstream.interfaces import Featurizer
from s3prl.utility.download import DownloadError
from s3prl.utility.errors import UserError

GENERATOR = torch.Generator().manual_seed(7)
WAVS = [0.01 + 0.1 * torch.randn(samples, generator=GENERATOR) for samples in (6411, 9000, 5003)]
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
CONVOLUTIONS = {
    "conv_dim": (16,) * 7,
    "conv_bias": True,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
LAYER_NORM = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
LIKE_WAV2VEC2 = ["Wav2Vec2", "Hubert", "WavLM", "UniSpeech", "UniSpeechSat"]
WHISPER = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "vocab_size": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}


def make(name, extractor=None, **config):
    torch.manual_seed(3)
    model = getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**config))
    return model.eval(), getattr(transformers, extractor)() if extractor else None


def wav2vec2_like(name, **config):
    return make(name, **{**SMALL, **CONVOLUTIONS, **config})[0]


def saved(folder, model, extractor=None, **settings):
    model.save_pretrained(folder)
    if extractor is not None:
        extractor.save_pretrained(folder)
    elif settings:
        (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return str(folder)


def sample_mask(wavs):
    return (torch.arange(max(map(len, wavs))) < torch.tensor([[len(wav)] for wav in wavs])).long()


def largest_difference(ours, theirs, frames):
    assert len(ours) == len(theirs)
    return max(
        (one[row, :valid] - other[row, :valid]).abs().max().item()
        for one, other in zip(ours, theirs, strict=True)
        for row, valid in enumerate(frames)
    )


@torch.no_grad()
def alone_and_in_batch(upstream):
    """Largest difference; also checks that an utterance alone has the promised frames."""
    upstream.eval()
    batch, largest = upstream(WAVS)["hidden_states"], 0.0
    for row, wav in enumerate(WAVS):
        alone = upstream([wav])["hidden_states"]
        assert alone[0].size(1) == upstream.num_frames(len(wav))
        pairs = zip(batch, alone, strict=True)
        largest = max(
            [largest, *((one[row, : other.size(1)] - other[0]).abs().max().item() for one, other in pairs)]
        )
    return largest


@pytest.mark.parametrize("norm", [{}, LAYER_NORM], ids=["group", "layer"])
@pytest.mark.parametrize("name", [*LIKE_WAV2VEC2, "Data2VecAudio"])
@torch.no_grad()
def test_states_equal_those_of_transformers(name, norm):
    positions = {"num_conv_pos_embeddings": 3} if name == "Data2VecAudio" else {}
    model = wav2vec2_like(name, **norm, **positions)
    wavs = padded(WAVS)
    theirs = model(wavs, attention_mask=sample_mask(WAVS), output_hidden_states=True)
    upstream = TransformersUpstream(model).eval()
    ours = upstream(WAVS)
    frames = [upstream.num_frames(len(wav)) for wav in WAVS]
    expected = [*theirs.hidden_states[:-1], theirs.last_hidden_state]
    assert largest_difference(ours["hidden_states"], expected, frames) < 1e-5
    assert upstream.get_downsample_rates("hidden_states") == 320
    features = Featurizer(upstream)(WAVS, ours)
    assert [len(feature) for feature in features] == frames


@pytest.mark.parametrize("name", LIKE_WAV2VEC2)
def test_an_utterance_has_the_same_values_alone_and_in_a_batch(name):
    upstream = TransformersUpstream(wav2vec2_like(name, **LAYER_NORM), normalize=True)
    assert alone_and_in_batch(upstream) < 1e-4


@pytest.mark.parametrize("name", ["Wav2Vec2", "WavLM", "Data2VecAudio"])
def test_groups_of_equal_length_keep_padding_out_of_any_network(name):
    positions = {"num_conv_pos_embeddings": 3} if name == "Data2VecAudio" else {}
    model = wav2vec2_like(name, **positions)
    assert alone_and_in_batch(TransformersUpstream(model)) > 1e-3
    assert alone_and_in_batch(TransformersUpstream(model, alone=True)) < 1e-5


@pytest.mark.parametrize(
    ("name", "extractor", "config"),
    [
        (
            "Whisper",
            "WhisperFeatureExtractor",
            {**WHISPER, "max_source_positions": 20, "encoder_layerdrop": 0.9},
        ),
        ("Wav2Vec2Bert", "SeamlessM4TFeatureExtractor", {**SMALL, "layerdrop": 0.9}),
        ("AST", "ASTFeatureExtractor", {**SMALL, "max_length": 64}),
    ],
)
def test_models_of_spectrograms_can_be_trained_and_copied(name, extractor, config, tmp_path):
    check_contract(upstream := hubconf.hf(saved(tmp_path, *make(name, extractor, **config))), WAVS)
    check_copies(upstream.eval(), WAVS)


@pytest.mark.parametrize("name", ["Wav2Vec2", "WavLM"])
def test_states_stay_as_many_and_finite_in_training(name):
    config = {"layerdrop": 0.9, "mask_time_prob": 0.5, "mask_time_length": 2}
    upstream = TransformersUpstream(wav2vec2_like(name, **LAYER_NORM, **config))
    check_contract(upstream, WAVS)


def test_normalisation_is_of_each_utterance_by_itself():
    batch = padded(WAVS, normalize=True)
    for row, wav in zip(batch, WAVS, strict=True):
        expected = torch.nn.functional.layer_norm(wav, wav.shape)
        torch.testing.assert_close(row[: len(wav)], expected, rtol=0, atol=1e-5)
        assert not row[len(wav) :].any()


@torch.no_grad()
def test_whisper_reads_what_its_feature_extractor_gives(tmp_path):
    model, extractor = make("Whisper", "WhisperFeatureExtractor", **WHISPER)
    upstream = hubconf.hf(saved(tmp_path, model, extractor)).eval()
    inputs = extractor([wav.numpy() for wav in WAVS], sampling_rate=16000, return_tensors="pt")
    theirs = model.encoder(inputs["input_features"], output_hidden_states=True).hidden_states
    ours = upstream(WAVS)["hidden_states"]
    frames = [upstream.num_frames(len(wav)) for wav in WAVS]
    assert frames == [21, 29, 16]
    assert largest_difference(ours, theirs, frames) < 1e-4
    assert alone_and_in_batch(upstream) < 1e-4


@torch.no_grad()
def test_whisper_goes_through_long_audio_in_windows(tmp_path):
    model, _ = make("Whisper", **WHISPER, max_source_positions=20)
    upstream = hubconf.hf(saved(tmp_path, model)).eval()
    window = upstream.window
    assert window == 20 * 320
    result = upstream(WAVS)["last_hidden_state"]
    second = upstream([WAVS[1][window:]])["last_hidden_state"][0]
    torch.testing.assert_close(result[1, 20 : 20 + len(second)], second, rtol=0, atol=1e-5)
    assert result.shape[1] == upstream.num_frames(len(WAVS[1])) == 20 + len(second)
    assert alone_and_in_batch(upstream) < 1e-5
    features = Featurizer(upstream)(WAVS, upstream(WAVS))
    assert [len(feature) for feature in features] == [upstream.num_frames(len(wav)) for wav in WAVS]


@torch.no_grad()
def test_w2v_bert_reads_what_its_feature_extractor_gives(tmp_path):
    model, extractor = make(
        "Wav2Vec2Bert", "SeamlessM4TFeatureExtractor", **SMALL, conv_depthwise_kernel_size=5
    )
    upstream = hubconf.hf(saved(tmp_path, model, extractor)).eval()
    inputs = extractor([wav.numpy() for wav in WAVS], sampling_rate=16000, return_tensors="pt")
    theirs = model(**inputs, output_hidden_states=True).hidden_states
    frames = [upstream.num_frames(len(wav)) for wav in WAVS]
    assert frames == inputs["attention_mask"].sum(1).tolist()
    assert largest_difference(upstream(WAVS)["hidden_states"], theirs, frames) < 1e-4
    assert alone_and_in_batch(upstream) < 1e-4


@torch.no_grad()
def test_ast_reads_what_its_feature_extractor_gives(tmp_path):
    model, extractor = make("AST", "ASTFeatureExtractor", **SMALL)
    upstream = hubconf.hf(saved(tmp_path, model, extractor)).eval()
    inputs = extractor([wav.numpy() for wav in WAVS], sampling_rate=16000, return_tensors="pt")
    output = model(**inputs, output_hidden_states=True)
    patches = [*output.hidden_states[:-1], output.last_hidden_state]
    theirs = [state[:, 2:].unflatten(1, (12, 101)).mean(1) for state in patches]
    assert upstream.get_downsample_rates("hidden_states") == 1600
    assert largest_difference(upstream(WAVS)["hidden_states"], theirs, [5, 6, 4]) < 1e-4
    long = torch.randn(200000, generator=GENERATOR)
    assert upstream([long])["last_hidden_state"].shape == (1, upstream.num_frames(200000), 32)
    assert upstream.num_frames(200000) == 125


@pytest.mark.parametrize("name", ["Wav2Vec2Conformer", "SEW"])
@torch.no_grad()
def test_other_encoders_of_waves_equal_transformers(name, tmp_path):
    config = {"conv_dim": (16,) * 13} if name == "SEW" else {}
    model = wav2vec2_like(name, **LAYER_NORM, **config)
    upstream = hubconf.hf(saved(tmp_path, model, do_normalize=False)).eval()
    theirs = model(padded(WAVS), attention_mask=sample_mask(WAVS), output_hidden_states=True)
    ours = upstream(WAVS)["hidden_states"]
    frames = [upstream.num_frames(len(wav)) for wav in WAVS]
    assert ours[0].size(1) == max(frames)
    assert largest_difference(ours[:-1], theirs.hidden_states[:-1], frames) < 1e-5
    check_copies(upstream, WAVS)


def test_a_model_of_an_unknown_kind_goes_by_its_own_feature_extractor(tmp_path):
    config = {**WHISPER, "conv_channels": 16, "num_mel_bins": 80}
    model, extractor = make("Speech2Text", "Speech2TextFeatureExtractor", **config)
    upstream = hubconf.hf(saved(tmp_path, model, extractor)).eval()
    with torch.no_grad():
        result = upstream(WAVS)
    assert upstream.get_downsample_rates("hidden_states") == 640
    assert [len(one) for one in Featurizer(upstream)(WAVS, result)] == [10, 14, 8]
    check_copies(upstream, WAVS)


@pytest.mark.parametrize(("do_normalize", "original", "expected"), [(True, False, True), (True, True, False)])
def test_the_repository_says_whether_to_normalise_unless_the_original_is_asked_for(
    do_normalize, original, expected, tmp_path
):
    folder = saved(tmp_path, wav2vec2_like("Hubert"), do_normalize=do_normalize)
    upstream = from_repository(folder, original=original)
    assert upstream.normalize is expected
    assert type(upstream).__name__ == ("EvenSplitUpstream" if original else "TransformersUpstream")


def test_weights_in_the_format_of_torch_are_read_without_running_code(tmp_path):
    model = wav2vec2_like("Wav2Vec2")
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with torch.no_grad():
        ours = hubconf.hf(str(tmp_path)).eval()(WAVS)["last_hidden_state"]
        theirs = TransformersUpstream(model).eval()(WAVS)["last_hidden_state"]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    torch.save({"encoder": Path("a pickle that would run code")}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="cannot be loaded"):
        hubconf.hf(str(tmp_path))


def test_folders_that_cannot_serve_are_told_apart(tmp_path):
    with pytest.raises(UserError, match="-u hf -k"):
        hubconf.hf()
    with pytest.raises(UserError, match="no folder"):
        hubconf.hf("./nowhere")
    with pytest.raises(UserError, match=r"no config\.json"):
        hubconf.hf(str(tmp_path))
    bert, _ = make("Bert", **SMALL, vocab_size=20)
    with pytest.raises(UserError, match="no audio model"):
        hubconf.hf(saved(tmp_path / "text", bert))
    folder = saved(tmp_path / "rate", wav2vec2_like("Wav2Vec2"), sampling_rate=8000)
    with pytest.raises(UserError, match="8000 Hz"):
        hubconf.hf(folder)
    model = wav2vec2_like("Wav2Vec2")
    weights = {name: weight for name, weight in model.state_dict().items() if "layers.1." not in name}
    model.config.save_pretrained(tmp_path / "half")
    torch.save(weights, tmp_path / "half" / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"lacks \d+ weights .* such as encoder\.layers\.1"):
        hubconf.hf(str(tmp_path / "half"))


def test_a_short_utterance_is_named_by_its_place():
    upstream = TransformersUpstream(wav2vec2_like("Wav2Vec2"))
    with pytest.raises(UserError, match=r"Utterance 1 .* 399 samples .* at least 400"):
        upstream([WAVS[0], WAVS[0][:399]])


def test_without_a_network_the_way_out_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("S3PRL_OFFLINE", "1")
    with pytest.raises(DownloadError, match=r"(?s)organisation-x/model-y.*hf download"):
        hubconf.hf("organisation-x/model-y")


def test_names_of_the_table_are_entries():
    assert find("whisper_large_v3").hub == "openai/whisper-large-v3"
    assert callable(hubconf.whisper_large_v3) and not hasattr(hubconf, "hf_url")


class FakeHub(BaseHTTPRequestHandler):
    """One repository, `lab/tiny`, in the folder `root`."""

    root: Path
    commit = "a" * 40

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        names = sorted(path.name for path in self.root.iterdir())
        path = self.path.split("?")[0]
        if path.startswith("/api/models/lab/tiny/tree/"):
            sizes = {name: (self.root / name).stat().st_size for name in names}
            files = [
                {"type": "file", "path": name, "size": size, "oid": f"{size:040x}"}
                for name, size in sizes.items()
            ]
            content, status = json.dumps(files).encode(), 200
        elif path.startswith("/api/models/lab/tiny"):
            files = [{"rfilename": name} for name in names]
            content, status = (
                json.dumps({"id": "lab/tiny", "sha": self.commit, "siblings": files}).encode(),
                200,
            )
        elif path.startswith("/lab/tiny/resolve/") and path.rsplit("/", 1)[1] in names:
            content, status = (self.root / path.rsplit("/", 1)[1]).read_bytes(), 200
        else:
            content, status = b"{}", 404
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", self.commit)
        self.send_header("ETag", f'"{len(content):040x}"')
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def hub(tmp_path):
    """The address of a hub on this machine."""
    FakeHub.root = tmp_path / "repository"
    saved(FakeHub.root, wav2vec2_like("Wav2Vec2"), do_normalize=True)
    (FakeHub.root / "modeling.py").write_text("raise SystemExit('code of a repository was run')")
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeHub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_repository_is_fetched_once_into_the_chosen_cache(hub, tmp_path):
    program = (
        "import sys; from s3prl.utility.download import set_dir; set_dir(sys.argv[1]);"
        "from s3prl.upstream.hf.hubconf import hf; import torch;"
        "print(hf('lab/tiny').normalize, hf('lab/tiny')([torch.ones(800)])['last_hidden_state'].shape[1])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "HF_ENDPOINT": hub}
    environment.pop("S3PRL_OFFLINE", None)

    def run(**more):
        command = [sys.executable, "-c", program, str(tmp_path / "cache")]
        return subprocess.run(command, env={**environment, **more}, capture_output=True, text=True)

    first = run()
    assert first.stdout.strip() == "True 2", first.stderr
    fetched = {path.name for path in (tmp_path / "cache").rglob("snapshots/*/*")}
    assert fetched == {"config.json", "preprocessor_config.json", "model.safetensors"}
    offline = run(S3PRL_OFFLINE="1", HF_ENDPOINT="http://127.0.0.1:9")
    assert offline.stdout.strip() == "True 2", offline.stderr
