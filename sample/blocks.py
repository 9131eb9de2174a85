"""How many sequences, and how many steps of them, are computed together."""

from ostinato.model.backend import memory_bytes, platform
from ostinato.model.network import MusicModel, carry_numbers

WIDTHS = (2, 4, 8, 16, 32)
"""How many sequences may be computed together; what is left of a block is filled up.

A matrix product over other numbers of rows is rounded differently: XLA:CPU has one way for a single row, one for 2 to
32 of them (the same bits in each row) and another for more. A test compares the music of all widths.
"""

CHUNK = 128
"""Steps between looks at whether all pieces have ended."""

_MAX_BATCH = 2**31
"""Sequences on a device whose memory nobody knows."""


def choose_width(num_sequences: int) -> int:
    """Returns how many sequences a block should have for so many on one device.

    Accelerators choose how to multiply by the number of rows, and have rows to spare: there it is always the same.
    """
    fitting = (width for width in WIDTHS if width >= num_sequences)
    return next(fitting, WIDTHS[-1]) if platform() == "cpu" else WIDTHS[-1]


def largest_batch(model: MusicModel, num_devices: int) -> int:
    """Returns how many sequences may be computed at the same time, so that their states take half of the memory.

    Each is there twice, before and after a step. The matrix memories of an mLSTM take megabytes for a sequence, the
    states of the other cells kilobytes.
    """
    state_bytes = 2 * 4 * carry_numbers(model.config)
    share = memory_bytes() / 2 / state_bytes
    return WIDTHS[0] * num_devices if share < WIDTHS[0] else int(min(share, _MAX_BATCH)) * num_devices
