"""Gives an Ogg stream a serial number: libsndfile takes it from the clock, but equal music has equal bytes."""

import struct

_HEADER_BYTES = 27
_SERIAL_AT, _CHECKSUM_AT, _NUM_SEGMENTS_AT = 14, 22, 26


def with_serial_number(data: bytes, serial_number: int) -> bytes:
    """Returns the pages of an Ogg file with another serial number, and with the checksums that follow (RFC 3533).

    Raises:
        ValueError: the bytes are not pages of Ogg.
    """
    result, position = bytearray(data), 0
    while position < len(data):
        if data[position : position + 4] != b"OggS":
            raise ValueError(f"no page of Ogg at byte {position}")
        num_segments = data[position + _NUM_SEGMENTS_AT]
        body_at = position + _HEADER_BYTES + num_segments
        end = body_at + sum(data[position + _HEADER_BYTES : body_at])
        struct.pack_into("<I", result, position + _SERIAL_AT, serial_number)
        struct.pack_into("<I", result, position + _CHECKSUM_AT, 0)
        struct.pack_into("<I", result, position + _CHECKSUM_AT, _checksum(bytes(result[position:end])))
        position = end
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
