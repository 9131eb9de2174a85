import asyncio

import pytest

from ostinato.configs.errors import UserError
from ostinato.configs.listen import ServeConfig
from ostinato.listen.web.proxies import Proxies

HEADERS = {
    "x-forwarded-for": "203.0.113.9", "forwarded": "for=203.0.113.9", "x-real-ip": "203.0.113.9",
    "x-forwarded-proto": "https", "x-forwarded-host": "study.example", "x-forwarded-port": "1", "cookie": "kept",
}  # fmt: skip


def _seen(headers, *, peer="192.0.2.1", trusted="", scheme="http"):
    """Returns what the application behind sees of a request: who sends it, the scheme, the headers."""
    seen = []

    async def app(scope, receive, send):
        seen.append(scope)

    pairs = [
        (name.encode(), value.encode()) for name, value in (headers.items() if isinstance(headers, dict) else headers)
    ]
    scope = {"type": "http", "headers": pairs, "client": peer and (peer, 1), "scheme": scheme}
    asyncio.run(Proxies(app, ServeConfig(trusted_proxies=trusted).proxies)(scope, None, None))
    client = seen[0]["client"]
    return client and client[0], seen[0]["scheme"], dict(seen[0]["headers"])


@pytest.mark.parametrize("peer", ["192.0.2.1", "127.0.0.1", "::1", "unix", None])
def test_nobody_is_believed_who_is_not_named_not_even_this_machine(peer, caplog):
    for trusted in ("", "198.51.100.0/24,192.0.2.2"):
        assert _seen(HEADERS, peer=peer, trusted=trusted) == (peer, "http", {b"cookie": b"kept"})
    assert "--trusted-proxies does not name it" in caplog.text


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("[2001:db8::7]:443", "2001:db8::7"),
        ("2001:db8::7", "2001:db8::7"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("1.2.3.4, 203.0.113.9", "203.0.113.9"),  # what the client says itself stands first, and is not believed
        ("1.2.3.4,203.0.113.9,198.51.100.7", "203.0.113.9"),  # of two proxies, both named
        ("198.51.100.7, 203.0.113.9", "203.0.113.9"),
        ("198.51.100.9, 198.51.100.7", "198.51.100.9"),
        ("unknown", "198.51.100.1"),
        ("1.2.3.4, unknown", "198.51.100.1"),
        ("1.2.3.4, nobody, 198.51.100.7", "198.51.100.7"),
        ("", "198.51.100.1"),
        (",,", "198.51.100.1"),
    ],
)
def test_a_proxy_that_is_named_says_who_spoke_to_it_and_no_more(said, client):
    seen = _seen({"x-forwarded-for": said}, peer="198.51.100.1", trusted="127.0.0.1, 198.51.100.0/24")
    assert seen == (client, "http", {})


def test_only_one_kind_of_header_names_the_client_and_its_lines_are_read_as_one():
    others = {name: value for name, value in HEADERS.items() if name != "x-forwarded-for"}
    kept = {b"x-forwarded-host": b"study.example", b"cookie": b"kept"}
    assert _seen(others, peer="::1", trusted="::1") == ("::1", "https", kept)
    twice = [("x-forwarded-for", "1.2.3.4"), ("x-forwarded-for", "203.0.113.9")]
    assert _seen(twice, peer="::1", trusted="::1")[0] == "203.0.113.9"
    assert _seen({"x-forwarded-proto": "file"}, peer="::1", trusted="::1")[1] == "http"


@pytest.mark.parametrize("trusted", ["*", "proxy.example", "10.0.0.0/33", "10.1.2.3/8", "127.0.0.1;::1"])
def test_proxies_are_named_by_address_and_all_of_the_world_is_no_name(trusted):
    with pytest.raises(UserError, match="must be addresses or networks"):
        ServeConfig(trusted_proxies=trusted)
