import pytest

from web.requests import client_address, graphql_media_type

OLD, NEW = "application/json", "application/graphql-response+json"


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, OLD),
        ("", OLD),
        ("*/*", OLD),
        ("text/html", OLD),
        ("application/json", OLD),
        (NEW, NEW),
        (f"{NEW}; charset=utf-8", NEW),
        (f"{NEW.upper()};Q=0.5", NEW),
        (f"{NEW}, application/json;q=0.9", NEW),
        (f"application/json, {NEW}", NEW),
        (f"{NEW};q=0.1, application/json", OLD),
        (f"{NEW};q=0", OLD),
        (f"{NEW};q=often", OLD),
        (f"text/event-stream,{NEW},*/*;q=0.1", NEW),
    ],
)
def test_answer_has_the_type_that_the_client_likes_best(
    accept: str | None, media_type: str
) -> None:
    assert graphql_media_type(accept) == media_type


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (("127.0.0.1", 5), "127.0.0.1"),
        (("2001:DB8::0001", 5), "2001:db8::1"),
        (("::ffff:198.51.100.7", 5), "198.51.100.7"),
        (("fe80::1%eth0", 5), "fe80::1"),
        (("fe80::1%" + "x" * 100, 5), "fe80::1"),
        (("garbage", 5), None),
        (("", 0), None),
        (None, None),
    ],
)
def test_client_is_an_address_or_nobody(
    client: tuple[str, int] | None, address: str | None
) -> None:
    assert client_address({"type": "http", "client": client}) == address
