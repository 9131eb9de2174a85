"""Small MIDI files of real shape for tests, made by the project's own writer."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ostinato.music import midi
from ostinato.music.piece import Notes, Piece, make_piece

SCALE = (0, 2, 4, 5, 7, 9, 11)


def tune(seed: int, *, num_notes: int = 48, program: int = 0) -> Piece:
    """Returns a melody that wanders over a scale, with a bass note under each fourth note."""
    rng = np.random.default_rng(seed)
    degree = 7 * 4 + np.cumsum(rng.integers(-2, 3, num_notes)) % 21
    melody = np.array([12 * (d // 7) + SCALE[d % 7] for d in degree])
    length = rng.choice([240, 480], num_notes)
    onset = np.cumsum(length) - length
    bass = melody[::4] - 12 - rng.integers(0, 5, len(melody[::4]))
    return make_piece(
        onset=np.r_[onset, onset[::4]],
        duration=np.r_[length, length[::4]],
        pitch=np.r_[melody, bass],
        velocity=np.full(num_notes + len(bass), 80),
        program=np.r_[np.full(num_notes, program), np.full(len(bass), 32)],
        tempos=([0], [500_000]),
        meters=([0], [4], [4]),
        ticks_per_quarter=480,
    )


def returning_tune(seed: int) -> Piece:
    """Returns a phrase of four bars that comes back, exactly and varied, over chords; some change their meter."""
    rng = np.random.default_rng(seed)
    phrases = [tune(seed, num_notes=20), tune(seed + 100, num_notes=20)]
    parts, begin = [], 0
    for which in (0, 0, 1, 0, 0):
        onset, duration, pitch, velocity, program = (column.copy() for column in phrases[which].notes)
        pitch[rng.random(len(pitch)) < 0.1] += 1
        is_heard = onset < 8 * 1920
        parts.append([column[is_heard] for column in (onset + begin, duration, pitch, velocity, program)])
        begin += 4 * 1920
    onset, duration, pitch, velocity, program = (np.concatenate(column) for column in zip(*parts, strict=True))
    meters = ([0, 6 * 1920], [4, 3], [4, 4]) if seed % 2 else ([0], [4], [4])
    return make_piece(
        onset=onset, duration=duration, pitch=pitch, velocity=velocity, program=program,
        tempos=([0], [500_000]), meters=meters, ticks_per_quarter=480,
    )  # fmt: skip


def write_parts(folder: Path, numbers: Iterable[int], names: Iterable[str] = ("both", "melody", "bass")) -> None:
    """Writes tunes as folder/both/0.mid, the melody alone as folder/melody/0.mid, and the bass as folder/bass/0.mid."""
    for number in numbers:
        piece = tune(number, num_notes=80)
        program = piece.notes.program
        parts = {"both": program >= 0, "melody": program == 0, "bass": program == 32}
        for name in names:
            (folder / name).mkdir(parents=True, exist_ok=True)
            notes = Notes(*(column[parts[name]] for column in piece.notes))
            part = make_piece(**notes._asdict(), ticks_per_quarter=480)
            (folder / name / f"{number}.mid").write_bytes(midi.write(part))


def write_tunes(folder: Path, count: int, *, first_seed: int = 0) -> list[Path]:
    """Writes `count` different tunes as tune-000.mid and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"tune-{number:03d}.mid" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(midi.write(tune(first_seed + number)))
    return paths


def piece_of(*notes: tuple[int, int, int, int, int], us_per_quarter: int = 500_000) -> Piece:
    """Rows of (onset, duration, pitch, velocity, program) at 480 ticks per quarter."""
    onset, duration, pitch, velocity, program = np.array(notes, np.int64).reshape(-1, 5).T
    return make_piece(
        onset=onset, duration=duration, pitch=pitch, velocity=velocity, program=program,
        tempos=([0], [us_per_quarter]), ticks_per_quarter=480,
    )  # fmt: skip
