"""What has the form of a webhook's token is blotted out, and nothing else."""

import pytest

from engine.cron import parse_schedule
from engine.errors import InvalidSchedule
from engine.masking import mask, mask_words

TOKEN = "aB3-_" * 13 + "xyz"
URL = f"https://discord.com/api/webhooks/123456789012345678/{TOKEN}"


@pytest.mark.parametrize(
    "text",
    [
        URL,
        URL.replace("/", "%2F"),
        URL.replace("/", "\\/"),
        URL.replace("xyz", ".xyz"),
        URL[:-30],
        f"/{TOKEN}",
        f"token {TOKEN} is wrong",
        f"{TOKEN}, {TOKEN}",
    ],
)
def test_a_token_in_a_line_of_the_log_is_masked(text: str) -> None:
    masked = mask(text)

    assert TOKEN[:20] not in masked
    assert "****" in masked


@pytest.mark.parametrize(
    "text",
    [
        "request_id=" + "a" * 64,
        "/usr/lib/python3/site-packages/somewhere/" * 5,
        "webhooks/123456789012345678/****",
        "webhooks/123456789012345678",
    ],
)
def test_what_is_no_token_stays(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize("length", [49, 50, 60, 68, 100])
def test_anything_that_may_be_a_token_is_left_out_of_a_foreign_sentence(length: int) -> None:
    word = ("Ab_-" * 25)[:length]

    assert mask_words(f"no {word}!") == ("no ****!" if length >= 50 else f"no {word}!")


@pytest.mark.parametrize("text", [URL, TOKEN, f"@{TOKEN}", f"* * * * {TOKEN}", f"{TOKEN} * * * *"])
def test_what_was_pasted_into_the_wrong_field_is_not_repeated(text: str) -> None:
    for expression, timezone in ((text, "UTC"), ("@daily", text), ("@daily", text[:100])):
        with pytest.raises(InvalidSchedule) as refused:
            parse_schedule(expression, timezone)

        assert TOKEN[:10] not in str(refused.value)
