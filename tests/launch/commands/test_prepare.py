import pytest

from ostinato.configs.errors import ExitCode
from ostinato.launch.cli import main
from tests.midi_files import write_parts

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
