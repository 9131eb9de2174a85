"""What may be asked of new rows of the `score` codec: the limits to which its grammar is narrowed."""

from typing import Any, NamedTuple

import numpy as np

from ostinato.configs.errors import UserError
from ostinato.music.codec import Request
from ostinato.music.score_rows import MAX_BPM, MAX_NUMERATOR, MIN_BPM, NUM_DENOMINATORS, START


class ScoreLimits(NamedTuple):
    """What new rows may be. Numbers are values of the fields; -1 leaves them free."""

    programs: Any
    """[129] bool."""
    pitches: Any
    """[128] bool, of all programs but drums."""
    style: Any
    numerator: Any
    denominator: Any
    tempo: Any
    meter_changes: Any
    """METER rows may come after the header."""
    tempo_changes: Any


NO_LIMITS = ScoreLimits(np.ones(START, bool), np.ones(128, bool), *[np.int32(-1)] * 4, *[np.bool_(True)] * 2)


def limits_of(request: Request) -> ScoreLimits:
    """Returns the limits that a request means.

    Raises:
        UserError: the meter or the tempo cannot be said.
    """
    numerator, denominator = -1, -1
    if request.meter:
        numerator, denominator = request.meter
        powers = [1 << power for power in range(NUM_DENOMINATORS)]
        if not 1 <= numerator <= MAX_NUMERATOR or denominator not in powers:
            raise UserError(
                f"meter {numerator}/{denominator} is not from 1 to {MAX_NUMERATOR} over one of "
                + ", ".join(map(str, powers))
            )
        denominator = powers.index(denominator)
    if request.tempo is not None and not MIN_BPM <= request.tempo <= MAX_BPM:
        raise UserError(f"tempo {request.tempo} is not from {MIN_BPM} to {MAX_BPM} beats per minute")
    return ScoreLimits(
        programs=request.programs,
        pitches=request.pitches,
        style=np.int32(-1 if request.style is None else request.style),
        numerator=np.int32(numerator),
        denominator=np.int32(denominator),
        tempo=np.int32(-1 if request.tempo is None else request.tempo - MIN_BPM),
        meter_changes=np.bool_(request.meter is None),
        tempo_changes=np.bool_(request.tempo is None),
    )
