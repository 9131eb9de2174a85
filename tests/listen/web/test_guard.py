import pytest
from starlette.exceptions import HTTPException

from ostinato.listen.web import guard
from ostinato.listen.web.guard import Allowance, Limit, address_of


def test_an_allowance_is_used_up_and_comes_back_with_time():
    now_s = 0.0
    allowance = Allowance(Limit(2, 0.5), clock_s=lambda: now_s)
    allowance.take("one")
    allowance.take("one")
    allowance.take("another")
    with pytest.raises(HTTPException) as refused:
        allowance.take("one")
    assert refused.value.status_code == 429
    assert refused.value.headers == {"retry-after": "2"}
    now_s = 2.0
    allowance.take("one")
    with pytest.raises(HTTPException):
        allowance.take("one")
    now_s = 1e6
    allowance.take("one")
    allowance.take("one")
    with pytest.raises(HTTPException):
        allowance.take("one")  # no more than the burst is saved up


def test_an_allowance_remembers_only_so_many(monkeypatch):
    monkeypatch.setattr(guard, "MAX_ADDRESSES", 3)
    allowance = Allowance(Limit(1, 0.001), clock_s=lambda: 0.0)
    for who in range(4):
        allowance.take(who)
    allowance.take(0)  # forgotten
    with pytest.raises(HTTPException):
        allowance.take(3)


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (("192.0.2.7", 1), "192.0.2.7"),
        (("::ffff:192.0.2.7", 1), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::"),
        (("2001:db8:1:2:ffff::1", 1), "2001:db8:1:2::"),
        (("unknown", 1), "unknown"),
        (None, ""),
    ],
)
def test_a_whole_ipv6_network_has_one_allowance(client, address):
    assert address_of({"type": "http", "client": client}) == address
