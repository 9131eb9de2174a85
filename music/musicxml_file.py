"""The XML of a MusicXML file, plain or compressed (.mxl), unpacked and parsed without trusting it."""

import io
import lzma
import re
import zipfile
import zlib
from fractions import Fraction
from functools import lru_cache
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from xml.parsers import expat

from ostinato.configs.errors import UserError

MAX_XML_BYTES = 32 << 20
"""A score that is larger when unpacked is refused; the largest Bach chorale has 1.4 MB."""

# Beside BadZipFile, zipfile lets these through: encryption and unknown compression (RuntimeError), numbers of 64 bits
# (OverflowError), damaged streams and directories (the others).
_CONTAINER = "META-INF/container.xml"

_UNPACKING_ERRORS = (
    zipfile.BadZipFile, RuntimeError, OverflowError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError,
)  # fmt: skip

_NUMBER = re.compile(r"[+-]?(\d{1,12}(\.\d{0,12})?|\.\d{1,12})")  # bounded, since Fraction("1e999999999") never ends


class MusicXmlError(UserError):
    """The data is not MusicXML that can be read; the message says what was found and where."""


def parse(data: bytes) -> Element:
    """Returns the root element of a plain or compressed score.

    Raises:
        MusicXmlError: the data is no MusicXML, larger than MAX_XML_BYTES, or declares entities.
    """
    data = unpack(data)
    _refuse_entities(data)
    root = _parse_xml(data, "the score")
    if root.tag not in ("score-partwise", "score-timewise"):
        raise MusicXmlError(f"the root element is <{root.tag}>, not <score-partwise> or <score-timewise>")
    return root


def unpack(data: bytes) -> bytes:
    """Returns the XML of a plain or compressed score.

    Raises:
        MusicXmlError: it cannot be unpacked, or is larger than MAX_XML_BYTES.
    """
    if data[:4] == b"PK\x03\x04":
        data = _unzip(data)
    if len(data) > MAX_XML_BYTES:
        raise MusicXmlError(f"the score has {len(data)} bytes, at most {MAX_XML_BYTES} are read")
    return data


def _unzip(data: bytes) -> bytes:
    """Returns the score inside an .mxl archive; META-INF/container.xml names it, or it is the only one."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.namelist()
            scores = [name for name in members if name.lower().endswith((".xml", ".musicxml"))]
            if _CONTAINER not in members and len(scores) == 1:
                return _read_member(archive, scores[0])
            container = _read_member(archive, _CONTAINER)
            _refuse_entities(container)
            rootfiles = _parse_xml(container, _CONTAINER).iter()
            names = [element.get("full-path") for element in rootfiles if element.tag.split("}")[-1] == "rootfile"]
            if not names or not names[0]:
                raise MusicXmlError(f"{_CONTAINER} names no <rootfile>")
            return _read_member(archive, names[0])  # the first one is the score, the others are renderings of it
    except MusicXmlError:
        raise
    except KeyError as error:
        raise MusicXmlError(f"the archive is incomplete: {error.args[0]}") from error
    except _UNPACKING_ERRORS as error:
        raise MusicXmlError(f"the .mxl archive cannot be unpacked: {error}") from error


def _read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as member:
        data = member.read(MAX_XML_BYTES + 1)  # the size in the archive's directory may lie
    if len(data) > MAX_XML_BYTES:
        raise MusicXmlError(f"{name} in the archive has more than {MAX_XML_BYTES} bytes")
    return data


class _BeforeRoot(Exception):  # noqa: N818  # not an error: the prolog has been read
    pass


def _refuse_entities(data: bytes) -> None:
    """Raises if the document type declares entities, which could blow up or read files; real scores have none."""

    def refuse(name: str, *_: object) -> None:
        raise MusicXmlError(f"the document declares the entity {name!r}; entities are not read")

    def stop(*_: object) -> None:
        raise _BeforeRoot

    parser = expat.ParserCreate()
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = stop
    try:
        parser.Parse(data, True)
    except _BeforeRoot:
        pass
    except MusicXmlError:
        raise
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise MusicXmlError(f"not well-formed XML: {error}") from error


def _parse_xml(data: bytes, name: str) -> Element:
    try:
        return ElementTree.fromstring(data)
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise MusicXmlError(f"{name} is not well-formed XML: {error}") from error


@lru_cache(maxsize=1024)
def to_fraction(text: str) -> Fraction | None:
    """Returns the number that a text says, None if it says none."""
    text = text.strip()
    return Fraction(text) if _NUMBER.fullmatch(text) else None
