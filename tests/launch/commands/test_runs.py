"""Lists and curves of runs, on folders whose content is known."""

import json
import os
import time

from ostinato.configs.errors import ExitCode
from ostinato.launch.cli import main
from ostinato.launch.curves import curve_in_text
from ostinato.train.lock import FILE as LOCK
from ostinato.train.lock import run_lock


def a_run(folder, *, losses, saved=None, finished=False):
    """Writes what a run leaves behind that lists and curves are made from."""
    folder.mkdir(parents=True)
    lines = [{"step": 0, "split": "validation", "loss": 5.0}]
    for step, loss in losses.items():
        lines.append({"step": step, "split": "train", "loss": loss, "notes_per_s": 1234.5})
        lines.append({"step": step, "split": "validation", "loss": loss})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 99, "spl')
    if saved is not None:
        place = folder / "checkpoints" / str(saved) / "run"
        place.mkdir(parents=True)
        (place / "metadata").write_text(json.dumps({"progress": {"finished": finished}}))
        os.utime(place.parent, (time.time() - 7300, time.time() - 7300))


def rows(text):
    return [[cell.strip() for cell in line.strip("│┃ \n").replace("┃", "│").split("│")] for line in text.splitlines()]


def test_the_list_says_state_best_loss_speed_and_last_checkpoint(tmp_path, capsys):
    for name in ("alive", "died"):
        a_run(tmp_path / name, losses={5: 3.0, 10: None}, saved=5)
    a_run(tmp_path / "x/done", losses={5: 2.0, 10: 2.5}, saved=10, finished=True)
    a_run(tmp_path / "stopped", losses={}, saved=0)
    (tmp_path / "died" / LOCK).write_text(json.dumps({"host": "a", "pid": 1}))  # and no process holds it
    with run_lock(tmp_path / "alive"):
        assert main(["runs", str(tmp_path)]) == ExitCode.FINISHED
    text = capsys.readouterr().out
    found = {row[0]: row[1:] for row in rows(text) if len(row) == 6}
    assert found["alive"] == ["running", "10", "3.0000 at 5", "1,234", "5, 2 h ago"]
    assert found["died"] == ["died", "10", "3.0000 at 5", "1,234", "5, 2 h ago"]
    assert found["x/done"] == ["finished", "10", "2.0000 at 5", "1,234", "10, 2 h ago"]
    assert found["stopped"] == ["stopped", "0", "", "", "0, 2 h ago"]


def test_the_curves_are_a_picture_and_characters(tmp_path, capsys):
    a_run(tmp_path / "one", losses={5: 3.0, 10: 2.0, 15: None})
    a_run(tmp_path / "two", losses={5: 4.0})
    assert main(["runs", "plot", str(tmp_path), "--output", str(tmp_path / "all.png")]) == ExitCode.FINISHED
    text = capsys.readouterr().out
    assert "one: validation loss in nats a row" in text
    assert (tmp_path / "all.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert "all.png is written" in text
    assert main(["runs", "plot", str(tmp_path / "one")]) == ExitCode.FINISHED
    assert (tmp_path / "one/curves.png").is_file()


def test_a_curve_in_characters_goes_from_corner_to_corner():
    lines = curve_in_text([(0, 2.0), (10, 1.0)], width=4, height=2)
    assert lines[0].startswith("        2 ⠑⢄")
    assert lines[1] == "        1 ⠀⠀⠑⢄"
    assert lines[2] == "     step 0 10"
    assert curve_in_text([(3, 1.5)], width=2, height=1) == ["      1.5 ⠁⠀", "     step 33"[:10] + "3" + "3"]


def test_a_folder_without_runs_is_named(tmp_path, refused):
    assert f"{tmp_path}: no training run in it; run 'ostinato train' first" in refused("runs", tmp_path)


def test_a_picture_of_an_unknown_kind_is_refused(tmp_path, refused):
    a_run(tmp_path / "one", losses={5: 3.0})
    assert "all.frob: must end in .png, or" in refused("runs", "plot", tmp_path, "--output", tmp_path / "all.frob")
