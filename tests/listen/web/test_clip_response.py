import pytest

from ostinato.listen.web.clip_response import byte_range, clip_response


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (None, None),
        ("bytes=0-", (0, 100)),
        ("bytes=0-0", (0, 1)),
        ("bytes=90-200", (90, 100)),
        ("bytes=-7", (93, 100)),
        ("bytes=-700", (0, 100)),
        ("bytes=5-4", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("chunks=0-1", None),
        ("bytes=0-1" + "9" * 99, None),
        ("bytes=a-b", None),
        ("bytes=²-", None),
    ],
)
def test_a_range_is_what_rfc_9110_says(header, wanted):
    assert byte_range(header, 100) == wanted


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=-0", "bytes=300-400"])
def test_a_range_outside_of_the_file_is_said(header, tmp_path):
    with pytest.raises(ValueError, match="the file has 100 bytes"):
        byte_range(header, 100)
    (tmp_path / "clip").write_bytes(bytes(100))
    answer = clip_response(tmp_path / "clip", "audio/ogg", header)
    assert answer.status_code == 416
    assert answer.headers["content-range"] == "bytes */100"
