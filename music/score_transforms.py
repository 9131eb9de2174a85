"""How steps of the `score` codec are changed in pitch, tempo and loudness while they stay legal."""

import numpy as np
from jaxtyping import Int, Integer

from ostinato.music.score_rows import MAX_BPM, MIN_BPM, START, TEMPO, VELOCITY_BIN


def transpose(steps: Integer[np.ndarray, "n 5"], semitones: int) -> Integer[np.ndarray, "n 5"]:
    """Returns the steps some semitones higher; drums stay. Unchanged where a pitch would leave 0 to 127."""
    pitched = steps[:, 1] < 128  # neither drums nor control rows
    pitch = steps[pitched, 2].astype(np.int64) + semitones
    if not len(pitch) or pitch.min() < 0 or pitch.max() > 127:
        return steps
    moved = np.array(steps)
    moved[pitched, 2] = pitch
    return moved


def mark_transposed(steps: Integer[np.ndarray, "n 5"], semitones: int) -> Integer[np.ndarray, "n 5"]:
    """Returns the steps of a whole piece with a START row that says by how much it was transposed, in its pitch."""
    marked = np.array(steps)
    marked[0, 2] = semitones % 128
    return marked


def scale_tempo(steps: Integer[np.ndarray, "n 5"], percent: int) -> Integer[np.ndarray, "n 5"]:
    """Returns the steps with every tempo some per cent faster, as far as the codec can say it.

    The change of the whole piece is made smaller where a tempo would leave the codec's range. Every encoded piece has a
    tempo, 120 beats per minute where its file says nothing; that one is scaled too. Tempos are rounded to whole beats
    per minute. One that would then repeat the one before it, which the grammar forbids, is a beat per minute away.
    """
    is_tempo = steps[:, 1] == TEMPO
    bpm = steps[is_tempo, 3].astype(np.int64) + MIN_BPM
    if not len(bpm):
        return steps
    factor = float(np.clip(1 + percent / 100, MIN_BPM / bpm.min(), MAX_BPM / bpm.max()))
    scaled = np.array(steps)
    scaled[is_tempo, 3] = _without_repeats(np.floor(bpm * factor + 0.5).astype(np.int64), bpm) - MIN_BPM
    return scaled


def shift_velocity(steps: Integer[np.ndarray, "n 5"], amount: int) -> Integer[np.ndarray, "n 5"]:
    """Returns the steps with all notes, drums too, louder by an amount of MIDI velocity, within 1 to 127."""
    is_note = steps[:, 1] < START
    velocity = steps[is_note, 4].astype(np.int64) * VELOCITY_BIN + VELOCITY_BIN // 2
    shifted = np.array(steps)
    shifted[is_note, 4] = np.clip(velocity + amount, 1, 127) // VELOCITY_BIN
    return shifted


def _without_repeats(bpm: Int[np.ndarray, " k"], original: Int[np.ndarray, " k"]) -> Int[np.ndarray, " k"]:
    """Returns tempos of which none equals the one before it.

    One that does is moved by one beat per minute in the direction in which `original`, without repeats, changes there
    (the other one at the end of the range). Later tempos are not moved along, so errors do not add up.
    """
    if (bpm[1:] != bpm[:-1]).all():
        return bpm
    rises = original[1:] > original[:-1]
    values = bpm.tolist()
    for i in range(1, len(values)):
        if values[i] == values[i - 1]:
            up = (rises[i - 1] and values[i] < MAX_BPM) or values[i] == MIN_BPM
            values[i] += 1 if up else -1
    return np.array(values, np.int64)


TRANSFORMS = {"transpose": transpose, "tempo": scale_tempo, "velocity": shift_velocity}
