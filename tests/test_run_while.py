"""run_while.sh: untouched arguments, an end at success, pauses after quick failures, Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "run_while.sh"


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


def test_a_failing_command_is_repeated_until_it_succeeds_with_growing_pauses(tmp_path):
    result = run(*fails_until(tmp_path / "runs", 3))
    assert result.returncode == 0
    assert (tmp_path / "runs").read_text() == "xxx"
    assert "exit code 3; the next starts in 1 s" in result.stderr
    assert "exit code 3; the next starts in 2 s" in result.stderr


def test_a_string_of_commands_is_repeated_although_it_succeeds(tmp_path):
    log = tmp_path / "log"
    process = subprocess.Popen(
        [SCRIPT, f"echo once >> {log}; sleep 0.05;"], start_new_session=True, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and (not log.exists() or len(log.read_text().split()) < 3):
            time.sleep(0.05)
        assert len(log.read_text().split()) >= 3
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


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
