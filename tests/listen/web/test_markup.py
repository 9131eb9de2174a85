import re

import pytest

from ostinato.listen.web.markup import STATIC_FILES, STATIC_SCRIPT, Screen, contact_link, document, read_static


@pytest.mark.parametrize(
    ("contact", "link"),
    [
        ("study@example.org", '<a href="mailto:study@example.org">study@example.org</a>'),
        ("the front desk", "the front desk"),
        ("a@b", "a@b"),
        ("study@example.org?cc=x@y.z", "study@example.org?cc=x@y.z"),
        ('"><script>@x.y', "&quot;&gt;&lt;script&gt;@x.y"),
    ],
)
def test_a_contact_is_a_link_only_where_it_is_an_address(contact, link):
    assert contact_link(contact) == link


def test_a_title_and_a_path_cannot_leave_their_places():
    page = document(Screen("<i>", "<main></main>"), '"</title>', root='/"><b>/')
    assert "<title>&lt;i&gt; · &quot;&lt;/title&gt;</title>" in page
    assert "<b>" not in page


@pytest.mark.parametrize("name", [*STATIC_FILES, STATIC_SCRIPT])
def test_our_files_ask_for_nothing_from_elsewhere(name):
    addresses = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"')]*|@import|url\(", read_static(name).decode())
    assert set(addresses) <= {"http://www.w3.org/2000/svg"}  # a name, never asked for
