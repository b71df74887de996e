"""Mistakes of a command line end in one line that names the nearest right word."""

import argparse

import pytest

from s3prl.preprocess import generate_len_for_bucket, make_mini_corpora
from s3prl.upstream import check, extract
from s3prl.upstream import list as listing
from s3prl.utility import get_best_dev, show_results
from s3prl.utility.arguments import Parser
from s3prl.utility.errors import UserError


@pytest.mark.parametrize(
    ("main", "arguments", "message"),
    [
        (extract.main, ["--imput", "wavs", "--output", "x"], "--imput. Did you mean '--input'?"),
        (extract.main, ["--input", "a", "--output", "b", "--format", "npz"], "npz is not one of"),
        (extract.main, ["-u", "fbank"], "arguments are required: --input, --output"),
        (check.main, ["-u", "fbank", "--devise", "cpu"], "--devise. Did you mean '--device'?"),
        (listing.main, ["--check-lnks"], "--check-lnks. Did you mean '--check-links'?"),
        (show_results.main, ["--expdir=x"], "no option --expdir."),
        (get_best_dev.main, ["x", "five"], "argument stop_step: invalid int value: 'five'"),
        (generate_len_for_bucket.main, ["--data_rot", "x"], "--data_rot. Did you mean '--data_root'?"),
        (make_mini_corpora.main, ["librispech"], ", all. Did you mean 'librispeech'?"),
        (make_mini_corpora.main, ["librispeech", "--seed", "3", "--outptu", "x"], "mean '--output'?"),
    ],
)
def test_every_command_tells_a_mistake_in_one_line(capsys, main, arguments, message):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1 and "usage" not in error


def test_what_is_right_is_parsed_as_before():
    parser = Parser()
    parser.add_argument("-l", "--layer", type=int)
    parser.add_argument("-n", "--name")
    parser.add_argument("rest", nargs="*")
    options = parser.parse_args(["-l", "-1", "-nfoo", "--na=x", "a", "--", "--b"])
    assert options == argparse.Namespace(layer=-1, name="x", rest=["a", "--b"])
    with pytest.raises(UserError, match="'b' belongs to no option"):
        Parser().parse_args(["b"])
