"""Pages of an Ogg file (RFC 3533).

libsndfile takes the serial number from the clock, but equal music has equal bytes: ours is given.
"""

import struct

from ostinato.configs.errors import UserError

HEADER_BYTES = 27
_SERIAL_AT, _NUMBER_AT, _CHECKSUM_AT, _NUM_SEGMENTS_AT = 14, 18, 22, 26


def with_serial_number(data: bytes, serial_number: int) -> bytes:
    """Returns the pages of an Ogg file with another serial number, and with the checksums that follow.

    Raises:
        UserError: the bytes are not pages of Ogg.
    """
    return b"".join(
        numbered_page(page, serial_number, struct.unpack_from("<I", page, _NUMBER_AT)[0]) for page in split_pages(data)
    )


def split_pages(data: bytes) -> list[bytes]:
    """Returns the pages of an Ogg file.

    Raises:
        UserError: the bytes are not pages of Ogg.
    """
    pages, position = [], 0
    while position < len(data):
        if data[position : position + 4] != b"OggS":
            raise UserError(f"no page of Ogg at byte {position}")
        body_at = position + HEADER_BYTES + data[position + _NUM_SEGMENTS_AT]
        end = body_at + sum(data[position + HEADER_BYTES : body_at])
        pages.append(data[position:end])
        position = end
    return pages


def numbered_page(page: bytes, serial_number: int, number: int) -> bytes:
    """Returns a page with another serial number and place in the stream, and with the checksum that follows."""
    result = bytearray(page)
    struct.pack_into("<III", result, _SERIAL_AT, serial_number, number, 0)
    struct.pack_into("<I", result, _CHECKSUM_AT, _checksum(bytes(result)))
    return bytes(result)


def _checksum(page: bytes) -> int:
    """Returns the CRC-32 of Ogg: polynomial 0x04C11DB7, not reflected, from 0."""
    value = 0
    for byte in page:
        value = (value << 8 ^ _TABLE[value >> 24 ^ byte]) & 0xFFFFFFFF
    return value


def _make_table() -> list[int]:
    table = []
    for value in range(256):
        value <<= 24
        for _ in range(8):
            value = value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)
        table.append(value & 0xFFFFFFFF)
    return table


_TABLE = _make_table()
