"""What verovio needs of a MusicXML score and many lack, as people and programs write them who draw nothing.

MusicXML plays `<duration>`; verovio, which engraves, reads `<type>`, `<dot/>`, `<tuplet>` and `<tied>`. It
reads parts that hold measures, and not the other way round.
"""

from fractions import Fraction
from xml.etree.ElementTree import Element, SubElement

from ostinato.music.musicxml_file import MusicXmlError, to_fraction


def complete(score: Element) -> bool:
    """Supplies in place what verovio needs, and returns whether anything was missing.

    A note or rest without its type, or with a tuplet's ratio and no tuplet, becomes a quarter in a tuplet of one note:
    every duration can be said so. A tie that sounds is drawn.

    Raises:
        MusicXmlError: the divisions of a quarter are no number above 0.
    """
    is_changed = _turn_partwise(score)
    for part in score.iterfind("part"):
        has_tuplets = part.find(".//tuplet") is not None
        divisions = Fraction(1)
        for element in part.iter():
            if element.tag == "divisions":
                divisions = to_fraction(element.text or "") or Fraction(0)
                if divisions <= 0:
                    raise MusicXmlError(f"<divisions> is {(element.text or '')[:40]!r}, not a number above 0")
            elif element.tag == "note":
                if _lacks_value(element, has_tuplets=has_tuplets):
                    _supply_value(element, divisions)
                    is_changed = True
                if element.find("tie") is not None and element.find("notations/tied") is None:
                    notations = SubElement(element, "notations")
                    for tie in element.findall("tie"):
                        SubElement(notations, "tied", tie.attrib)
                    is_changed = True
    return is_changed


def _turn_partwise(score: Element) -> bool:
    if score.tag == "score-partwise":
        return False
    score.tag = "score-partwise"
    parts: dict[str, Element] = {}
    for measure in score.findall("measure"):
        score.remove(measure)
        for bars in measure.iterfind("part"):
            name = bars.get("id", "")
            if name not in parts:
                parts[name] = SubElement(score, "part", id=name)
            SubElement(parts[name], "measure", measure.attrib).extend(bars)
    return True


def _lacks_value(note: Element, *, has_tuplets: bool) -> bool:
    if note.find("grace") is not None or note.find("duration") is None:
        return False
    rest = note.find("rest")
    if rest is not None and rest.get("measure") == "yes":
        return False
    return note.find("type") is None or (not has_tuplets and note.find("time-modification") is not None)


def _supply_value(note: Element, divisions: Fraction) -> None:
    quarters = (to_fraction(note.findtext("duration", "")) or 0) / divisions
    if quarters <= 0:
        return
    for child in list(note):
        if child.tag in ("type", "dot", "time-modification"):
            note.remove(child)
    SubElement(note, "type").text = "quarter"
    if quarters != 1:
        modification = SubElement(note, "time-modification")
        SubElement(modification, "actual-notes").text = str(quarters.denominator)
        SubElement(modification, "normal-notes").text = str(quarters.numerator)
        if note.find("chord") is None:
            notations = SubElement(note, "notations")
            for kind in ("start", "stop"):
                SubElement(notations, "tuplet", type=kind)
