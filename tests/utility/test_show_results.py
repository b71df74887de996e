"""The table and the picture at the end of an experiment."""

from conftest import tiny

from s3prl.utility import show_results


def test_an_evaluated_run_is_shown_as_a_table_and_a_picture(downstream, capsys):
    downstream("-u", "example", "-d", "example", "-p", "run", "-o", tiny())
    for split in ("dev", "test"):
        downstream("-m", "evaluate", "-t", split, "-e", "run/dev-best.ckpt")
    capsys.readouterr()
    assert show_results.main(["run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["split", "step", "loss", "acc"]
    assert [line.split()[0] for line in lines[2:4]] == ["dev", "test"]
    assert (show_results.Path("run") / "curves.png").stat().st_size > 10_000


def test_a_run_without_results_says_how_to_get_them(tmp_path, capsys):
    assert show_results.main([str(tmp_path)]) == 2
    assert "-m evaluate" in capsys.readouterr().err
