"""The numbers of the `score` codec's rows, shared by the codec and its grammar."""

import numpy as np

GRID = 24
"""Steps per quarter note: triplets and 32nds are exact."""

NUM_SHIFTS = 4 * GRID
"""Shifts are 0 to NUM_SHIFTS - 1 steps; a longer gap is said by REST rows."""

EXACT_DURATION = 8 * GRID
"""Durations up to this many steps are exact, longer ones are whole quarter notes."""

DURATIONS = np.r_[1 : EXACT_DURATION + 1, EXACT_DURATION + GRID : 64 * GRID + 1 : GRID].astype(np.int64)
"""The length in steps of each value of the duration field: 1 to 192, then 9 to 64 quarter notes."""

LONGEST_REST = int(DURATIONS[-1])
FIRST_REST = int(np.searchsorted(DURATIONS, NUM_SHIFTS))
"""The first duration value that a REST row may have: a shorter gap is a shift."""

START, END, REST, TEMPO, METER, STYLE = range(129, 135)
"""Instrument values of the control rows, after 128 programs and DRUMS."""

NUM_INSTRUMENTS = STYLE + 1

VELOCITY_BIN = 4
VELOCITY_BITS = 5
NUM_VELOCITIES = 128 // VELOCITY_BIN

MIN_BPM = 16
NUM_BPM = len(DURATIONS)
MAX_BPM = MIN_BPM + NUM_BPM - 1

MAX_NUMERATOR = 32
NUM_DENOMINATORS = 6
"""Denominators are 1, 2, 4, 8, 16 and 32."""
