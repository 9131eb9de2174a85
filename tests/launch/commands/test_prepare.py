import json

import pytest

from ostinato.configs.errors import ExitCode
from ostinato.launch.cli import main
from tests.midi_files import write_parts, write_tunes

STAGES = ["reading", "grouping", "writing", "describing"]
TOLD = "pieces were left out as near duplicates; --duplicates variants keeps them, in one split"


@pytest.mark.parametrize(
    ("num_melodies", "options", "told"),
    [(8, [], True), (8, ["--duplicates", "variants"], False), (1, [], False)],
    ids=["a third of them", "kept", "a tenth"],
)
def test_the_console_says_what_keeps_near_duplicates_where_many_are_left_out(
    tmp_path, capsys, num_melodies, options, told
):
    write_parts(tmp_path / "midi", range(10), ["both"])
    write_parts(tmp_path / "midi", range(num_melodies), ["melody"])
    arguments = ["--midi", str(tmp_path / "midi"), "--output", str(tmp_path / "data"), *options]
    assert main(["prepare", *arguments]) == ExitCode.FINISHED
    assert (f"{num_melodies} {TOLD}" in capsys.readouterr().out.splitlines()) is told


def test_progress_as_json_and_the_status_of_what_is_there(tmp_path, capsys):
    write_tunes(tmp_path / "midi", 3)
    output = str(tmp_path / "out")
    assert main(["prepare", "--status", output]) == ExitCode.USAGE
    assert "no dataset, and no prepare that has begun to write one" in capsys.readouterr().err
    given = ["prepare", "--midi", str(tmp_path / "midi"), "--output", output, "--progress", "json"]
    assert main(given) == ExitCode.FINISHED
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert [line["stage"] for line in lines] == sorted({line["stage"] for line in lines}, key=STAGES.index)
    assert (lines[-1]["stage"], lines[-1]["inputs"], lines[-1]["total"]) == ("describing", 3, 3)
    assert main(["prepare", "--status", output]) == ExitCode.FINISHED
    assert capsys.readouterr().out.endswith("out: finished; 3 files read, 0 rejected\n")
    (tmp_path / "out").rename(tmp_path / "mine")
    note = tmp_path / "out.partial/work/progress/job.json"
    note.parent.mkdir(parents=True)
    note.write_text(json.dumps({**lines[0], "stage": "reading", "reading": ["a.tar"], "left_s": 90.0, "time_s": 1.0}))
    assert main(["prepare", f"--status={output}"]) == ExitCode.FINISHED
    said = capsys.readouterr().out
    assert "ended while reading; the same command resumes; " in said
    assert "of 3 files read" in said
    assert "2 min left; in a.tar (" in said
    assert main(["prepare", "--status", output, "--progress", "json"]) == ExitCode.FINISHED
    assert json.loads(capsys.readouterr().out)["is_alive"] is False
