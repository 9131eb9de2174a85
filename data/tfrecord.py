"""TFRecord framing and tf.train.Example messages of byte strings, without TensorFlow.

Framing (tensorflow/core/lib/io/record_writer.h): little-endian uint64 length, uint32 masked CRC-32C of the length, the
data, uint32 masked CRC-32C of the data. The messages are those that tfds' feature classes read and write.
"""

import struct
from collections.abc import Iterator

import google_crc32c

from ostinato.configs.errors import UserError

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_MAX_LENGTH_BITS = 63
_LENGTH_DELIMITED = 2
HEADER_BYTES = _HEADER.size
FOOTER_BYTES = _FOOTER.size


class CorruptRecordError(UserError):
    """The bytes at some offset are not a whole, undamaged record."""


def frame(data: bytes) -> bytes:
    """Returns one record as it stands in a TFRecord file."""
    length = struct.pack("<Q", len(data))
    return length + _FOOTER.pack(_masked_crc(length)) + data + _FOOTER.pack(_masked_crc(data))


def read_at(buffer: memoryview, offset: int) -> bytes:
    """Returns the data of the record that begins at `offset`.

    Raises:
        CorruptRecordError: the record is cut short or one of its checksums is wrong.
    """
    if not 0 <= offset <= len(buffer) - HEADER_BYTES:
        raise CorruptRecordError(f"file ends at byte {len(buffer)}, before the record at byte {offset}")
    length, length_crc = _HEADER.unpack_from(buffer, offset)
    if _masked_crc(bytes(buffer[offset : offset + 8])) != length_crc:
        raise CorruptRecordError(f"wrong checksum of the record length at byte {offset}")
    start, end = offset + HEADER_BYTES, offset + HEADER_BYTES + length
    if end + FOOTER_BYTES > len(buffer):
        raise CorruptRecordError(f"file ends at byte {len(buffer)}, within the record at byte {offset}")
    data = bytes(buffer[start:end])
    if _masked_crc(data) != _FOOTER.unpack_from(buffer, end)[0]:
        raise CorruptRecordError(f"wrong checksum of the record at byte {offset}")
    return data


def encode_example(features: dict[str, bytes]) -> bytes:
    """Returns a serialised tf.train.Example with one bytes value per feature, features in alphabetical order."""
    entries = (
        _message(1, _message(1, name.encode()) + _message(2, _message(1, _message(1, value))))
        for name, value in sorted(features.items())
    )
    return _message(1, b"".join(entries))


def decode_example(data: bytes) -> dict[str, bytes]:
    """Returns the features of a message written by `encode_example`.

    Raises:
        CorruptRecordError: it is another message.
    """
    features = {}
    try:
        for _, example in _fields(data):
            for _, entry in _fields(example):
                parts = dict(_fields(entry))
                ((_, values),) = _fields(parts[2])
                ((_, features[parts[1].decode()]),) = _fields(values)
    except CorruptRecordError:
        raise
    except (ValueError, KeyError, IndexError) as error:  # ValueError: more or fewer values than one, no UTF-8
        raise CorruptRecordError(f"not a record of an id, a style and steps ({error})") from error
    return features


def _masked_crc(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _message(number: int, payload: bytes) -> bytes:
    """Returns a length-delimited protobuf field."""
    length, remaining = bytearray(), len(payload)
    while remaining > 127:
        length.append(remaining & 127 | 128)
        remaining >>= 7
    length.append(remaining)
    return bytes([number << 3 | 2]) + bytes(length) + payload


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields number and payload of each length-delimited protobuf field.

    Raises:
        CorruptRecordError: a field of another kind, or one that goes on behind the end.
        IndexError: the data end within a length.
    """
    position = 0
    while position < len(data):
        tag, position = data[position], position + 1
        number, kind = tag >> 3, tag & 7
        length = shift = 0
        while True:
            byte, position = data[position], position + 1
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
            if shift > _MAX_LENGTH_BITS:
                raise CorruptRecordError(f"a length of more than {_MAX_LENGTH_BITS} bits in a record")
        if kind != _LENGTH_DELIMITED or length > len(data) - position:
            raise CorruptRecordError(f"a field of kind {kind} and {length} bytes, {len(data) - position} are there")
        yield number, data[position : position + length]
        position += length
