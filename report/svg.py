"""Pictures inside pages: SVG documents made into elements that take colours and type from the page's style sheet."""

import html
import re
from collections.abc import Mapping


def embedded_svg(document: str, name: str, label: str, colours: Mapping[str, str]) -> str:
    """Returns matplotlib's document as an element: without header, style and fixed size, its ids made unique.

    Args:
        document: what matplotlib wrote.
        name: of the picture, unlike all others of the page.
        label: what the picture shows, for those who do not see it.
        colours: that matplotlib was given, lower-case as in #123456, and what stands for them in the page.
    """
    svg = document[document.index("<svg") :]
    svg = re.sub(r"<defs>\s*<style.*?</defs>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|"#|url\(#)', rf"\g<1>{name}-", svg)
    for colour, wanted in colours.items():
        svg = svg.replace(colour, wanted)
    view_box = re.search(r'viewBox="[^"]*"', svg)
    assert view_box, svg[:300]
    text = html.escape(label)
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {view_box[0]} role="img" '
        f'aria-label="{text}"><title>{text}</title>'
    )
    return opening + svg[svg.index(">") + 1 :].rstrip()
