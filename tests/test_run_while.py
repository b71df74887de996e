"""run_while.sh: untouched arguments, an end at success, pauses after quick failures, Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "run_while.sh"


@pytest.fixture
def pauses(tmp_path, monkeypatch):
    """Pauses take no time; the seconds they should have taken."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sleep").write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/pauses\n')
    (folder / "sleep").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.delenv("S3PRL_RESTART_PAUSE", raising=False)
    return lambda: list(map(int, (tmp_path / "pauses").read_text().split()))


def run(*command, **kwargs):
    return subprocess.run([SCRIPT, *map(str, command)], capture_output=True, text=True, timeout=60, **kwargs)


def test_quotes_blanks_and_globs_arrive_untouched():
    arguments = ["a b", "it's", '"quoted"', "*", "$HOME", "", "config.a='x',, config.b=1"]
    result = run(sys.executable, "-c", "import sys; print(sys.argv[1:])", *arguments)
    assert result.returncode == 0
    assert result.stdout.strip() == repr(arguments)


def fails_until(path: Path, count: int) -> list[str]:
    code = (
        "import sys, pathlib; p = pathlib.Path(sys.argv[1]); n = len(p.read_text()) if p.exists() else 0; "
        f"p.write_text('x' * (n + 1)); sys.exit(0 if n + 1 >= {count} else 3)"
    )
    return [sys.executable, "-c", code, str(path)]


def test_a_failing_command_is_repeated_until_it_succeeds_with_growing_pauses(tmp_path, pauses):
    result = run(*fails_until(tmp_path / "runs", 7))
    assert result.returncode == 0
    assert (tmp_path / "runs").read_text() == "x" * 7
    assert "exit code 3; the next starts in 5 s" in result.stderr
    assert pauses() == [5, 10, 20, 40, 60, 60]


@pytest.mark.parametrize(
    ("code", "reason"),
    [(2, "told a mistake to mend"), (126, "bash cannot be executed"), (127, "bash was not found")],
)
def test_what_trying_again_cannot_mend_ends_the_loop_with_the_reason(tmp_path, code, reason):
    result = run("bash", "-c", f"echo once >> {tmp_path}/log; exit {code}")
    assert result.returncode == code
    assert (tmp_path / "log").read_text() == "once\n"
    assert reason in result.stderr and len(result.stderr.splitlines()) == 1


def test_a_command_that_does_not_exist_is_tried_once():
    result = run("no-such-command-at-all", "-x")
    assert result.returncode == 127
    assert "no-such-command-at-all was not found" in result.stderr


def test_a_string_of_commands_is_repeated_whatever_its_exit_code_but_not_in_haste(tmp_path, pauses):
    log = tmp_path / "log"
    result = run(
        f"echo once >> {log}; [ $(wc -l < {log}) -lt 4 ] || exit 130; exit $(($(wc -l < {log}) % 3))"
    )
    assert result.returncode == 130
    assert len(log.read_text().split()) == 4
    assert pauses() == [5, 10, 5]


def test_the_pause_can_be_chosen(tmp_path):
    environment = {**os.environ, "S3PRL_RESTART_PAUSE": "0"}
    result = run(*fails_until(tmp_path / "runs", 4), env=environment)
    assert result.returncode == 0 and "the next starts in 0 s" in result.stderr


def test_a_string_of_one_command_ends_with_success(tmp_path):
    result = run(f"echo once >> {tmp_path}/log")
    assert result.returncode == 0
    assert (tmp_path / "log").read_text() == "once\n"


def test_control_c_stops_the_loop(tmp_path):
    ready = tmp_path / "ready"
    process = subprocess.Popen(
        [SCRIPT, "bash", "-c", f"echo x >> {ready}; sleep 300; exit 1"],
        start_new_session=True,
        # a test run in the background of a shell ignores SIGINT, and so would its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not ready.exists():
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert ready.read_text() == "x\n"


def test_without_a_command_it_explains_itself():
    result = run()
    assert result.returncode == 2
    assert "run_downstream.py -a" in result.stdout
