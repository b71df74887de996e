"""Table and pictures of runs: finished or not, one or several, in folders that can be written or not."""

import json
import math
from pathlib import Path

import pytest
from conftest import tiny

from s3prl.utility import curves, pictures, show_results
from s3prl.utility.metric import Metric
from s3prl.utility.results import find_runs, read_run


def write_run(folder, final=4.0, steps=1000, log=100, declared=True, splits=("dev-clean", "test-clean")):
    """A run whose word error rate falls from 100 to about `final`, and is best at 800 of 1000 steps."""
    folder.mkdir(parents=True)
    lines = []
    for step in range(log, steps + 1, log):
        falling = 96 * math.exp(-12 * step / steps)
        train = {"loss": (final + falling) / 50, "wer": max(0, falling - 1), "learning-rate": 1e-3}
        lines.append({"step": step, "split": "train", **train, "nan_gradients": 0})
        if step % (steps // 5) == 0:
            for factor, split in enumerate(splits, start=1):
                wer = factor * (final + falling + abs(step - 0.8 * steps) / steps)
                lines.append({"step": step, "split": split, "loss": wer / 30, "wer": wer})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if declared:
        Metric("wer", lower_is_better=True, split=splits[0]).write(folder)
    return folder


def evaluated(folder, split, step, **metrics):
    result = {"split": split, "checkpoint": f"{folder}/dev-best.ckpt", "step": step, "metrics": metrics}
    (folder / f"result-{split}.json").write_text(json.dumps(result))


def shown(capsys, *arguments, code=0):
    assert show_results.main([str(argument) for argument in arguments]) == code
    return capsys.readouterr().out


def rows(out):
    return [line.split() for line in out.split("\n\n")[0].splitlines() if "--" not in line]


def test_a_trained_and_evaluated_run_is_shown_as_a_table_and_a_picture(downstream, capsys):
    downstream("-u", "example", "-d", "example", "-p", "run", "-o", tiny())
    for split in ("dev", "test"):
        downstream("-m", "evaluate", "-t", split, "-e", "run/dev-best.ckpt")
    capsys.readouterr()
    table = rows(shown(capsys, "run"))
    assert table[0] == ["split", "at", "step", "loss", "acc"]
    assert [row[0] for row in table[1:]].count("test") == 1 and "dev" in [row[0] for row in table]
    assert Path("run/curves.png").stat().st_size > 10_000


def test_the_table_has_the_best_and_the_last_step_and_names_what_decided(tmp_path, capsys):
    run = write_run(tmp_path / "run")
    (run / "dev-best.ckpt").touch()
    evaluated(run, "test-other", 800, wer=9.5, cer=3.25)
    out = shown(capsys, run)
    assert [row[:3] for row in rows(out)] == [
        ["split", "at", "step"],
        ["train", "last", "1000"],
        ["dev-clean", "best", "800"],
        ["dev-clean", "last", "1000"],
        ["test-clean", "best", "800"],
        ["test-clean", "last", "1000"],
        ["test-other", "best", "800"],
    ]
    assert rows(out)[-1][-3:] == ["-", "9.5", "3.25"], "what only an evaluation knows has its place"
    assert "decided by   wer on dev-clean, lower is better: 4.007 at step 800, kept in dev-best.ckpt" in out


def test_an_evaluation_completes_the_row_of_its_step(tmp_path, capsys):
    run = write_run(tmp_path / "run", splits=("dev-clean",))
    evaluated(run, "dev-clean", 800, wer=3.5, **{"lm-wer": 2.5})
    table = rows(shown(capsys, run))
    [best] = [row for row in table if row[:2] == ["dev-clean", "best"]]
    assert best[-2:] == ["3.5", "2.5"]


def test_a_run_that_trains_is_shown_without_its_half_written_line(tmp_path, capsys):
    run = write_run(tmp_path / "run")
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 1100, "split": "train", "lo')
    assert rows(shown(capsys, run))[1][:3] == ["train", "last", "1000"]
    (run / "metrics.jsonl").write_text('{"step": 100, "spl')
    assert "nothing to draw yet" in shown(capsys, run)


def test_a_run_without_declared_metric_says_that_its_best_is_a_guess(tmp_path, capsys):
    out = shown(capsys, write_run(tmp_path / "run", declared=False))
    assert "at step 800 (guessed from the names: the task declares no metric)" in out


def test_the_runs_below_a_folder_are_shown_together_and_sorted(tmp_path, capsys):
    for name in ("wavlm", "deep/fbank", "hubert"):
        write_run(tmp_path / name)
    write_run(tmp_path / "wavlm" / "previous_2024" / "inner")
    write_run(tmp_path / "previous_2024")
    out = shown(capsys, tmp_path)
    assert list(dict.fromkeys(row[0] for row in rows(out)[1:])) == ["deep/fbank", "hubert", "wavlm"]
    assert out.count("decided by") == 3
    assert f"curves       {tmp_path / 'curves.png'}, {tmp_path / 'curves.pdf'}" in out
    assert (tmp_path / "curves.pdf").read_bytes().startswith(b"%PDF")


def test_pictures_go_where_the_user_says(tmp_path, capsys):
    run, output = write_run(tmp_path / "run"), tmp_path / "new" / "pictures"
    shown(capsys, run, "--output", output)
    assert sorted(path.name for path in output.iterdir()) == ["curves.pdf", "curves.png"]
    assert not list(run.glob("curves.*"))


def test_a_folder_that_cannot_be_written_still_gets_its_table(tmp_path, capsys, monkeypatch):
    def refuse(path, write):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(pictures, "write_atomically", refuse)
    out = shown(capsys, write_run(tmp_path / "run"))
    assert rows(out)[2][:3] == ["dev-clean", "best", "800"]
    assert "not drawn ([Errno 13] Permission denied" in out and "--output" in out


def test_a_folder_without_runs_says_how_to_get_some(tmp_path, capsys):
    assert show_results.main([str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "holds no run" in error and "-m train" in error and "-m evaluate" in error
    assert show_results.main([str(tmp_path / "nowhere")]) == 2
    assert "is not a folder" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "content"), [("metric.json", "{"), ("result-dev.json", '{"split": "dev"}')])
def test_a_damaged_file_is_named(tmp_path, capsys, name, content):
    run = write_run(tmp_path / "run")
    (run / name).write_text(content)
    assert show_results.main([str(run)]) == 2
    assert f"{name} is damaged" in capsys.readouterr().err


def panels(*folders):
    picture = curves.figure([read_run(folder) for folder in find_runs(folders)])
    return picture, {panel.get_ylabel(): panel for panel in picture.axes}


def drawn(panel):
    """The lines that are curves: neither the ring around the best score nor the line at its step."""
    return [line for line in panel.lines if len(line.get_xdata()) > 2]


def test_axes_have_words_and_units_and_what_decides_comes_first(tmp_path):
    _, found = panels(write_run(tmp_path / "run"))
    assert list(found) == ["WER (%)", "loss", "learning rate"]
    assert {panel.get_xlabel() for panel in found.values()} == {"step (updates)"}


def test_error_rates_below_ten_percent_can_be_read(tmp_path):
    _, found = panels(write_run(tmp_path / "run", final=2.0))
    panel = found["WER (%)"]
    assert panel.get_yscale() == "symlog", "training reaches zero"
    assert -1 < panel.get_ylim()[0] < 0 and 30 < panel.get_ylim()[1] < 50
    ticks = [tick for tick in panel.get_yticks() if 0 < tick <= 10]
    assert {1, 2, 5, 10} <= set(ticks)
    assert found["loss"].get_yscale() == "log" and 0.02 < found["loss"].get_ylim()[0] < 0.04
    assert found["learning rate"].get_yscale() == "linear"


def test_narrow_ranges_start_at_zero_and_accuracies_stay_linear(tmp_path):
    run = write_run(tmp_path / "run", final=500.0)
    for line, value in (("train", 0.01), ("dev", 0.9)):
        with (run / "metrics.jsonl").open("a") as file:
            file.write(json.dumps({"step": 1000, "split": line, "acc": value}) + "\n")
    _, found = panels(run)
    assert found["accuracy"].get_yscale() == "linear"
    assert found["loss"].get_yscale() == "linear" and found["loss"].get_ylim()[0] == 0
    assert curves.axis_label("wer", [0.3, 1.1]) == "WER", "a fraction has no percent sign"
    assert curves.axis_label("lm-wer", [30.0]) == "LM WER (%)"


def test_splits_differ_without_colours(tmp_path):
    _, found = panels(write_run(tmp_path / "run", splits=("dev-clean", "dev-other", "test-clean")))
    lines = drawn(found["WER (%)"])
    assert len({(line.get_linestyle(), line.get_marker()) for line in lines}) == len(lines) == 4


def test_the_best_step_is_marked_and_labelled(tmp_path):
    _, found = panels(write_run(tmp_path / "run"))
    panel = found["WER (%)"]
    [ring] = [line for line in panel.lines if line.get_linestyle() == "None"]
    assert (ring.get_xdata()[0], round(ring.get_ydata()[0], 3)) == (800, 4.007)
    assert panel.get_title(loc="right") == "best on dev-clean: 4.007 at step 800"


def test_several_runs_share_one_figure_with_a_legend(tmp_path):
    for name, final in (("fbank", 20.0), ("wavlm", 3.0)):
        write_run(tmp_path / name, final)
    picture, found = panels(tmp_path)
    assert len(drawn(found["WER (%)"])) == 6
    labels = [text.get_text() for text in picture.legends[0].get_texts()]
    assert labels == [
        "fbank (best wer 20.01 at step 800)", "wavlm (best wer 3.007 at step 800)",
        "train", "dev-clean", "test-clean",
    ]  # fmt: skip


def test_a_long_run_is_thinned_to_means_and_shows_their_range(tmp_path):
    picture, found = panels(write_run(tmp_path / "run", steps=100_000))
    panel = found["WER (%)"]
    train = next(line for line in drawn(panel) if line.get_marker() == "")
    assert 100 < len(train.get_xdata()) <= 200 and len(panel.collections) == 1
    band = panel.collections[0].get_datalim(panel.transData)
    assert band.y1 > 90, "the first values are still there"
    assert picture.legends[0].get_texts()[0].get_text() == "train (means of 5 logs, and their range)"
