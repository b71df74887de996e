"""The -o grammar: every example of the guides, and mistakes."""

import argparse

import pytest

from s3prl.utility.errors import UserError
from s3prl.utility.override import apply_override, parse_override, parse_value


@pytest.fixture
def config():
    return {
        "optimizer": {"name": "Adam", "lr": 1e-4},
        "runner": {"total_steps": 10, "eval_dataloaders": ["dev"]},
        "downstream_expert": {"datarc": {"test_fold": "fold1"}, "dtwrc": {"dist_method": "cosine_exp"}},
    }


@pytest.fixture
def args():
    return argparse.Namespace(seed=1337, expdir="result/x")


def test_the_guides_three_fields_are_set(args, config):
    apply_override(
        'config.optimizer.lr=1.0e-3,,config.optimizer.name="AdamW",,'
        "config.runner.eval_dataloaders=\"['dev', 'test']\"",
        args,
        config,
    )
    assert config["optimizer"] == {"name": "AdamW", "lr": 1e-3}
    assert config["runner"]["eval_dataloaders"] == ["dev", "test"]


def test_blanks_and_newlines_after_the_separator_are_fine(args, config):
    apply_override(
        "config.optimizer.lr=1e-5,, \n config.downstream_expert.datarc.test_fold='fold3'", args, config
    )
    assert config["optimizer"]["lr"] == 1e-5
    assert config["downstream_expert"]["datarc"]["test_fold"] == "fold3"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("-1e5", -1e5),
        ("7", 7),
        ("True", True),
        ("true", True),
        ("None", None),
        ("'1e-3'", "1e-3"),
        ("AdamW", "AdamW"),
        ("'a=b,,c'", "a=b,,c"),
        ("[1, 2e-1]", [1, 0.2]),
        ("{'a': [1]}", {"a": [1]}),
        ("(0, 5)", (0, 5)),
        ("${S3PRL_CORPORA}/x", "${S3PRL_CORPORA}/x"),
        ("__import__('os').getcwd()", "__import__('os').getcwd()"),
    ],
)
def test_values_are_literals_and_never_code(text, value):
    result = parse_value(text)
    assert result == value
    assert type(result) is type(value)


def test_separators_inside_quotes_and_brackets_do_not_split():
    assert parse_override("config.a='x,,y',,config.b=['p,,q'],,args.c=it's") == [
        ("config.a", "x,,y"),
        ("config.b", ["p,,q"]),
        ("args.c", "it's"),
    ]


def test_the_first_equals_sign_separates():
    assert parse_override("config.a=b=c") == [("config.a", "b=c")]


def test_none_means_no_override():
    assert parse_override("None") == parse_override(None) == []


def test_an_unknown_field_names_the_nearest(args, config):
    with pytest.raises(UserError, match=r"optimzer.*Did you mean 'optimizer'"):
        apply_override("config.optimzer.lr=1", args, config)
    with pytest.raises(UserError, match=r"args.sed.*Did you mean 'seed'"):
        apply_override("args.sed=1", args, config)


def test_a_plus_adds_a_new_field(args, config):
    apply_override("+config.scheduler.name=noam", args, config)
    assert config["scheduler"] == {"name": "noam"}


def test_optional_runner_fields_need_no_plus(args, config):
    apply_override("config.runner.fp16=True", args, config, {"runner": ("fp16",)})
    assert config["runner"]["fp16"] is True


@pytest.mark.parametrize(
    "text", ["config.optimizer.lr", "optimizer.lr=1", "args=3", "config.optimizer.lr.x=1"]
)
def test_malformed_options_are_explained(text, args, config):
    with pytest.raises(UserError, match="-o"):
        apply_override(text, args, config)


@pytest.mark.parametrize(
    "text",
    ["config.optimizer.lr=1,config.runner.total_steps=2", "args.seed=1, config.optimizer.name='Adam'"],
)
def test_a_single_comma_between_fields_gets_the_hint(text):
    with pytest.raises(UserError, match="put two commas between fields, not one"):
        parse_override(text)


def test_a_single_comma_inside_a_value_is_part_of_it():
    pairs = parse_override("config.a='x,config.b=2',,config.b=[1, 2],,config.c=k=1,l=2")
    assert pairs == [("config.a", "x,config.b=2"), ("config.b", [1, 2]), ("config.c", "k=1,l=2")]


@pytest.mark.parametrize("value", ["9" * 5000, "9" * 200, "[" * 3000 + "]" * 3000, "{.nan: 1}", "{[1]: 2}"])
def test_a_value_that_no_config_can_hold_is_refused_with_its_field(value):
    with pytest.raises(UserError, match=r"-o: config\.runner\.total_steps: ") as error:
        parse_override(f"config.runner.total_steps={value}")
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("text", ["...", "1j", "b'x'"])
def test_literals_that_no_config_holds_are_text(text):
    assert parse_value(text) == text
