"""Which webhook URLs are taken, in which form they are kept, and that no token shows."""

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.discord import (
    DISCORD_ORIGINS,
    WebhookAddress,
    budget_origin,
    parse_webhook_url,
)
from engine.errors import InvalidWebhookUrl

ID = "123456789012345678"
TOKEN = "aB3-_" * 13 + "xyz"
THREAD = "1098765432109876543"
URL = f"https://discord.com/api/webhooks/{ID}/{TOKEN}"
LOCAL = "http://127.0.0.1:9100"


def parsed(url: str) -> WebhookAddress:
    return parse_webhook_url(url, origins=(*DISCORD_ORIGINS, LOCAL))


def refusal(url: str) -> str:
    with pytest.raises(InvalidWebhookUrl) as caught:
        parsed(url)
    return str(caught.value)


@pytest.mark.parametrize("origin", [*DISCORD_ORIGINS, LOCAL])
@pytest.mark.parametrize("path", ["/api/webhooks", "/api/v10/webhooks", "/api/v6/webhooks"])
def test_every_listed_origin_and_version_is_taken(origin: str, path: str) -> None:
    address = parsed(f"{origin}{path}/{ID}/{TOKEN}")

    assert (address.origin, address.webhook_id, address.token) == (origin, ID, TOKEN)


@pytest.mark.parametrize("digits", ["1" * 17, "9" * 19, str(2**64 - 1)])
def test_ids_of_17_to_20_digits_below_2_to_the_64th_are_taken(digits: str) -> None:
    assert parsed(URL.replace(ID, digits)).webhook_id == digits


@pytest.mark.parametrize("length", [60, 68, 100])
def test_tokens_of_60_to_100_characters_are_taken(length: int) -> None:
    assert parsed(URL.replace(TOKEN, "t" * length)).token == "t" * length


@pytest.mark.parametrize(
    ("query", "thread_id"),
    [
        ("", None),
        ("?", None),
        ("?wait=true", None),
        ("?wait=False&with_components=1", None),
        (f"?thread_id={THREAD}", THREAD),
        (f"?wait=0&thread_id={THREAD}&with_components=true", THREAD),
    ],
)
def test_the_thread_is_the_only_thing_kept_of_the_query(query: str, thread_id: str | None) -> None:
    assert parsed(URL + query).thread_id == thread_id


def test_case_of_scheme_and_host_and_blanks_around_do_not_matter() -> None:
    assert parsed(f"  HTTPS://Discord.COM/api/webhooks/{ID}/{TOKEN}\n") == parsed(URL)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        pytest.param("", "must begin with", id="empty"),
        pytest.param("not a url", "blanks", id="words"),
        pytest.param(f"discord.com/api/webhooks/{ID}/{TOKEN}", "must begin with", id="no scheme"),
        pytest.param(URL.replace("https", "http"), "must begin with", id="plain http"),
        pytest.param(URL.replace(".com", ".com:443"), "must begin with", id="a port"),
        pytest.param(URL.replace("discord.com", "discord.co"), "must begin with", id="other host"),
        pytest.param(URL.replace("discord", "cdn.discordapp"), "must begin with", id="cdn host"),
        pytest.param(URL.replace("discord", "www.discord"), "must begin with", id="www host"),
        pytest.param(URL.replace(".com", ".com."), "must begin with", id="dot after the host"),
        pytest.param(URL.replace(".com", ".com@evil.example"), "user name", id="host as a user"),
        pytest.param(URL.replace("//", "//user:word@"), "user name", id="user and password"),
        pytest.param(URL.replace("//", "//@"), "user name", id="empty user"),
        pytest.param(URL.replace("https://", "https:\\\\"), "must begin with", id="backslashes"),
        pytest.param(
            f"http://127.0.0.1:9101/api/webhooks/{ID}/{TOKEN}", "must begin with", id="other port"
        ),
        pytest.param(URL + "#", "fragment", id="empty fragment"),
        pytest.param(URL + "?wait=true#x", "fragment", id="fragment after the query"),
        pytest.param(URL + "/slack", "/slack", id="slack"),
        pytest.param(URL + "/github", "/github", id="github"),
        pytest.param(URL + "/", "path", id="slash at the end"),
        pytest.param(URL + "/messages/1", "path", id="longer path"),
        pytest.param(URL.replace("/api", ""), "path", id="no api"),
        pytest.param(URL.replace("/api", "/api/v0"), "path", id="version zero"),
        pytest.param(URL.replace("/api", "/api/v010"), "path", id="version with a zero"),
        pytest.param(URL.replace("/api/", "//api/"), "path", id="double slash"),
        pytest.param(URL.replace("/api", "/x/../api"), "path", id="dots"),
        pytest.param(URL.replace("webhooks", "Webhooks"), "path", id="case of the path"),
        pytest.param(URL.replace(TOKEN, ""), "path", id="no token"),
        pytest.param(URL.replace(ID, "1" * 16), "id", id="id of 16 digits"),
        pytest.param(URL.replace(ID, "1" * 21), "id", id="id of 21 digits"),
        pytest.param(URL.replace(ID, "0" + ID), "id", id="id with a zero"),
        pytest.param(URL.replace(ID, str(2**64)), "id", id="id of 2 to the 64th"),
        pytest.param(URL.replace(ID, "+" + ID), "id", id="id with a sign"),
        pytest.param(URL.replace(TOKEN, "t" * 59), "token", id="token of 59"),
        pytest.param(URL.replace(TOKEN, "t" * 101), "token", id="token of 101"),
        pytest.param(URL.replace("xyz", "x%79"), "token", id="escape in the token"),
        pytest.param(URL.replace("xyz", "x.z"), "token", id="dot in the token"),
        pytest.param(URL.replace(TOKEN, "****"), "token", id="masked token"),
        pytest.param(URL.replace("xyz", "x\nz"), "blanks", id="line break"),
        pytest.param(URL.replace("xyz", "x\x00z"), "blanks", id="NUL"),
        pytest.param(URL.replace("xyz", "x z"), "blanks", id="blank inside"),
        pytest.param(URL.replace(ID, "\uff11" * 18), "ASCII", id="full-width digits"),
        pytest.param(URL.replace("discord", "di\u017fcord"), "ASCII", id="long s in the host"),
        pytest.param(URL.replace(TOKEN, "t" * 4000), "long", id="very long"),
        pytest.param(URL + "?foo=1", "query takes", id="unknown parameter"),
        pytest.param(URL + "?wait=true&", "query takes", id="empty parameter"),
        pytest.param(URL + "?wait=true&wait=true", "wait twice", id="wait twice"),
        pytest.param(
            f"{URL}?thread_id={THREAD}&thread_id={THREAD}", "thread_id twice", id="thread twice"
        ),
        pytest.param(URL + "?wait=yes", "wait must be", id="odd wait"),
        pytest.param(URL + "?wait", "wait must be", id="wait without a value"),
        pytest.param(URL + "?with_components=", "with_components must be", id="no components"),
        pytest.param(URL + "?thread_id=", "thread_id must be", id="empty thread"),
        pytest.param(URL + "?thread_id=12", "thread_id must be", id="short thread"),
        pytest.param(URL + f"?thread_id=0{THREAD}", "thread_id must be", id="thread with a zero"),
        pytest.param(URL + f"?thread%5Fid={THREAD}", "query takes", id="escaped name"),
    ],
)
def test_what_breaks_a_rule_is_refused_with_a_sentence(url: str, says: str) -> None:
    assert says in refusal(url)


def test_default_origins_do_not_take_a_local_address() -> None:
    with pytest.raises(InvalidWebhookUrl, match=re.escape("https://canary.discord.com or")):
        parse_webhook_url(f"{LOCAL}/api/webhooks/{ID}/{TOKEN}", origins=DISCORD_ORIGINS)


@pytest.mark.parametrize(
    "url",
    [
        URL + "/slack",
        URL + "#x",
        URL + "?x=1",
        URL + f"?{TOKEN}=1",
        URL + f"?thread_id={TOKEN}",
        URL.replace(ID, TOKEN),
        URL.replace("//", f"//{TOKEN}@"),
        URL.replace("discord.com", f"{TOKEN}.example"),
        f"{TOKEN}://discord.com/{TOKEN}",
        URL.replace(TOKEN, TOKEN + "."),
    ],
)
def test_a_refusal_never_holds_the_token(url: str) -> None:
    assert TOKEN not in refusal(url)


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises(InvalidWebhookUrl):
        parsed(text)


@given(
    st.sampled_from([*DISCORD_ORIGINS, LOCAL]),
    st.integers(10**16, 2**64 - 1),
    st.from_regex(r"\A[A-Za-z0-9_-]{60,100}\Z"),
    st.none() | st.integers(10**16, 2**64 - 1),
)
def test_the_stored_form_reads_back_as_the_same_address(
    origin: str, webhook_id: int, token: str, thread: int | None
) -> None:
    thread_id = None if thread is None else str(thread)
    address = WebhookAddress(
        origin=origin, webhook_id=str(webhook_id), token=token, thread_id=thread_id
    )

    assert parsed(address.url) == address


def test_the_stored_form_has_no_version_and_keeps_the_thread() -> None:
    address = parsed(URL.replace("/api", "/api/v9") + f"?wait=true&thread_id={THREAD}")

    assert address.url == f"{URL}?thread_id={THREAD}"


@pytest.mark.parametrize("thread", ["", f"?thread_id={THREAD}"])
def test_the_masked_form_shows_all_but_the_token(thread: str) -> None:
    assert parsed(URL + thread).masked == f"https://discord.com/api/webhooks/{ID}/****{thread}"


def test_the_repr_does_not_hold_the_token() -> None:
    shown = repr(parsed(URL))

    assert ID in shown
    assert TOKEN not in shown


def test_the_key_is_the_hash_of_id_and_token_whatever_host_or_thread() -> None:
    other = parsed(f"https://ptb.discord.com/api/v9/webhooks/{ID}/{TOKEN}?thread_id={THREAD}")

    assert parsed(URL).key == other.key == hashlib.sha256(f"{ID}/{TOKEN}".encode()).digest()


@pytest.mark.parametrize(
    ("thread", "with_components", "query"),
    [
        ("", False, "?wait=true"),
        ("", True, "?wait=true&with_components=true"),
        (f"?thread_id={THREAD}", False, f"?wait=true&thread_id={THREAD}"),
        (f"?thread_id={THREAD}", True, f"?wait=true&thread_id={THREAD}&with_components=true"),
    ],
)
def test_requests_go_to_version_10_and_wait(thread: str, with_components: bool, query: str) -> None:
    url = parsed(URL + thread).request_url(with_components=with_components)

    assert url == f"https://discord.com/api/v10/webhooks/{ID}/{TOKEN}{query}"


@pytest.mark.parametrize("origin", DISCORD_ORIGINS)
def test_all_hosts_of_discord_share_one_budget(origin: str) -> None:
    assert budget_origin(origin) == "https://discord.com"


@pytest.mark.parametrize("origin", [LOCAL, "http://discord.com", "https://discord.com:8443"])
def test_other_origins_have_a_budget_of_their_own(origin: str) -> None:
    assert budget_origin(origin) == origin
