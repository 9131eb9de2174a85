import json

import numpy as np

from ostinato.benchmarks.performances import Options, main, perform
from ostinato.music import midi
from ostinato.music.piece import make_piece


def _melody(seed):
    pitch = 60 + np.cumsum(np.random.default_rng(seed).choice([-4, -2, -1, 1, 2, 3], 300)) % 24
    return make_piece(
        onset=np.arange(300) * 240, duration=np.full(300, 200), pitch=pitch, velocity=np.full(300, 70),
        program=np.zeros(300), ticks_per_quarter=480,
    )  # fmt: skip


def test_a_performance_is_in_time_order_with_the_asked_share_of_wrong_notes():
    piece = _melody(1)
    exact, wrong = (perform(piece, np.random.default_rng(2), wrong=share) for share in (0.0, 0.5))
    assert (np.diff(exact.notes.onset) >= 0).all()
    assert exact.num_notes == wrong.num_notes != piece.num_notes
    differ = (exact.notes.pitch != wrong.notes.pitch).mean()
    assert 0.35 < differ < 0.65
    assert (perform(piece, np.random.default_rng(2), wrong=0.0).notes.onset == exact.notes.onset).all()


def test_performances_are_found_and_other_corpora_are_not(tmp_path, capsys):
    folders = [tmp_path / name for name in ("one", "two")]
    for number, folder in enumerate(folders):
        folder.mkdir()
        for seed in range(4):
            (folder / f"{seed}.mid").write_bytes(midi.write(_melody(10 * number + seed)))
    main(Options(data=tuple(map(str, folders)), wrong=(0.0,), results=str(tmp_path / "found.json")))
    found = json.loads((tmp_path / "found.json").read_text())
    assert found == {"recall": {"one": {"0.0": 1.0}, "two": {"0.0": 1.0}}, "false_links": 0, "pairs": 16}
    assert "100 %" in capsys.readouterr().out
