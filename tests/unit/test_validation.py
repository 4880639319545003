"""What a task is saved with is checked field by field, and every problem is told with its path."""

import pytest

from engine.errors import FieldError, InvalidInput
from engine.validation import (
    DEFAULTS,
    REQUIRED,
    Checked,
    Current,
    TaskRules,
    check_change,
    check_new,
)
from models.enums import DeliveryGuarantee, MisfirePolicy, OverlapPolicy, TaskStatus

RULES = TaskRules(
    origins=("https://discord.com", "https://ptb.discord.com"), min_interval_seconds=1
)
WEBHOOK_ID = "123456789012345678"
TOKEN = "t" * 68
THREAD_ID = "998877665544332211"
URL = f"https://discord.com/api/webhooks/{WEBHOOK_ID}/{TOKEN}"
MASKED = f"https://discord.com/api/webhooks/{WEBHOOK_ID}/****"
IN_THREAD = f"?thread_id={THREAD_ID}"
HELLO = {"content": "hello"}
FORUM_POST = {"content": "hello", "thread_name": "news"}
VALID: dict[str, object] = {
    "name": "report",
    "schedule": "0 9 * * *",
    "webhook_url": URL,
    "payload": HELLO,
}
STORED = Current(
    schedule="0 9 * * *", timezone="Europe/Berlin", payload=HELLO, webhook_url_masked=MASKED
)
FIELDS = [*REQUIRED, *DEFAULTS]


def new(**fields: object) -> Checked:
    return check_new({**VALID, **fields}, RULES)


def change(current: Current = STORED, /, **fields: object) -> Checked:
    return check_change(fields, RULES, current)


def problems_of_new(**fields: object) -> list[FieldError]:
    with pytest.raises(InvalidInput) as caught:
        new(**fields)
    return list(caught.value.errors)


def problems_of_change(current: Current = STORED, /, **fields: object) -> list[FieldError]:
    with pytest.raises(InvalidInput) as caught:
        change(current, **fields)
    return list(caught.value.errors)


def paths(problems: list[FieldError]) -> list[tuple[str | int, ...]]:
    return [problem.path for problem in problems]


def current(*, payload: object = HELLO, webhook_url_masked: str = MASKED) -> Current:
    return Current(
        schedule=STORED.schedule,
        timezone=STORED.timezone,
        payload=payload,
        webhook_url_masked=webhook_url_masked,
    )


def test_new_task_gets_the_defaults_for_what_is_left_out() -> None:
    columns = new().columns

    assert {name: columns[name] for name in DEFAULTS} == DEFAULTS
    assert columns["name"] == "report"
    assert columns["schedule"] == "0 9 * * *"
    assert columns["payload"] == HELLO


def test_defaults_are_those_of_the_api() -> None:
    assert dict(DEFAULTS) == {
        "timezone": "UTC",
        "max_retry": 3,
        "status": "ACTIVE",
        "failure_threshold": 1,
        "overlap_policy": "SKIP",
        "misfire_policy": "FIRE_ONCE",
        "misfire_grace_seconds": 300,
        "delivery_guarantee": "AT_LEAST_ONCE",
    }


@pytest.mark.parametrize("field", REQUIRED)
def test_field_without_a_default_is_required(field: str) -> None:
    given = {name: value for name, value in VALID.items() if name != field}

    with pytest.raises(InvalidInput) as caught:
        check_new(given, RULES)

    assert caught.value.errors == (FieldError((field,), "is required"),)


@pytest.mark.parametrize("field", FIELDS)
def test_null_is_refused_for_every_field_of_a_new_task(field: str) -> None:
    assert problems_of_new(**{field: None}) == [FieldError((field,), "can't be null")]


@pytest.mark.parametrize("field", FIELDS)
def test_null_is_refused_for_every_field_of_a_change(field: str) -> None:
    assert problems_of_change(**{field: None}) == [FieldError((field,), "can't be null")]


def test_change_of_nothing_changes_nothing() -> None:
    assert change() == Checked(columns={}, address=None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "other"),
        ("schedule", "@daily"),
        ("timezone", "UTC"),
        ("payload", {"content": "bye"}),
        ("max_retry", 7),
        ("status", TaskStatus.INACTIVE),
        ("failure_threshold", 9),
        ("overlap_policy", OverlapPolicy.ALLOW),
        ("misfire_policy", MisfirePolicy.SKIP),
        ("misfire_grace_seconds", 60),
        ("delivery_guarantee", DeliveryGuarantee.AT_MOST_ONCE),
    ],
)
def test_change_of_one_field_changes_just_that(field: str, value: object) -> None:
    assert change(**{field: value}) == Checked(columns={field: value}, address=None)


def test_all_problems_are_told_at_once() -> None:
    problems = problems_of_new(
        name="",
        schedule="99 * * * *",
        timezone="Mars/Phobos",
        webhook_url="https://example.org/",
        payload={"content": "x" * 2001, "tts": "yes", "embeds": [{"title": "x" * 257}]},
        max_retry=11,
        status="FAILED",
        failure_threshold=0,
        overlap_policy="MAYBE",
        misfire_policy="MAYBE",
        misfire_grace_seconds=-1,
        delivery_guarantee="MAYBE",
    )

    assert set(paths(problems)) == {
        ("payload", "content"),
        ("payload", "tts"),
        ("payload", "embeds", 0, "title"),
        *((field,) for field in FIELDS if field != "payload"),
    }
    assert len(problems) == len(FIELDS) + 2
    assert all(problem.message for problem in problems)


@pytest.mark.parametrize("name", ["x", "x" * 100, "  x  ", "\u00fc" * 100, "\U0001f600" * 100])
def test_name_of_1_to_100_characters_is_taken_and_trimmed(name: str) -> None:
    assert new(name=name).columns["name"] == name.strip()


@pytest.mark.parametrize(
    "name", ["", "   ", "\u3000", "x" * 101, "a\nb", "a\0b", "\ud800", "a\u2028b", "\x85", 5, ["x"]]
)
def test_any_other_name_is_refused(name: object) -> None:
    assert paths(problems_of_new(name=name)) == [("name",)]
    assert paths(problems_of_change(name=name)) == [("name",)]


@pytest.mark.parametrize(
    "schedule", ["0 9 * * *", "*/2 * * * * *", "@hourly", " 0 9 * * * ", "0 9 * * MON-FRI"]
)
def test_schedule_of_five_or_six_fields_or_a_macro_is_taken(schedule: str) -> None:
    assert new(schedule=schedule).columns["schedule"] == schedule.strip()


@pytest.mark.parametrize(
    "schedule", ["", "  ", "* * * *", "60 * * * *", "0 0 31 2 *", "@reboot", "x" * 121, 5]
)
def test_schedule_that_can_not_fire_is_refused(schedule: object) -> None:
    assert paths(problems_of_new(schedule=schedule)) == [("schedule",)]
    assert paths(problems_of_change(schedule=schedule)) == [("schedule",)]


@pytest.mark.parametrize("timezone", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"])
def test_iana_zone_is_taken(timezone: str) -> None:
    assert new(timezone=timezone).columns["timezone"] == timezone


@pytest.mark.parametrize("timezone", ["", " ", "CET+1", "europe/berlin", "localtime", "../UTC", 5])
def test_any_other_zone_is_refused(timezone: object) -> None:
    assert paths(problems_of_new(timezone=timezone)) == [("timezone",)]
    assert paths(problems_of_change(timezone=timezone)) == [("timezone",)]


def test_wrong_schedule_and_wrong_zone_are_told_together() -> None:
    wrong = {"schedule": "99 * * * *", "timezone": "Mars/Phobos"}

    assert paths(problems_of_new(**wrong)) == [("timezone",), ("schedule",)]
    assert paths(problems_of_change(**wrong)) == [("timezone",), ("schedule",)]


@pytest.mark.parametrize(
    ("least_seconds", "schedule", "fits"),
    [
        (1, "* * * * * *", True),
        (2, "* * * * * *", False),
        (60, "* * * * *", True),
        (61, "* * * * *", False),
        (60, "0,59 * * * * *", False),
        (3600, "@hourly", True),
        (3601, "@hourly", False),
        (86_400, "@daily", True),
        (86_400, "0 0,23 * * *", False),
    ],
)
def test_shortest_interval_must_not_be_under_the_least(
    least_seconds: int, schedule: str, fits: bool
) -> None:
    rules = TaskRules(origins=RULES.origins, min_interval_seconds=least_seconds)

    if fits:
        assert check_new({**VALID, "schedule": schedule}, rules).columns["schedule"] == schedule
        return
    with pytest.raises(
        InvalidInput, match=f"at least {least_seconds} s must lie between"
    ) as caught:
        check_new({**VALID, "schedule": schedule}, rules)
    assert paths(list(caught.value.errors)) == [("schedule",)]


def test_interval_is_checked_beside_a_wrong_zone() -> None:
    rules = TaskRules(origins=RULES.origins, min_interval_seconds=60)
    given = {**VALID, "schedule": "* * * * * *", "timezone": "Mars/Phobos"}

    with pytest.raises(InvalidInput) as caught:
        check_new(given, rules)

    assert paths(list(caught.value.errors)) == [("timezone",), ("schedule",)]


def test_webhook_url_is_taken_apart_into_columns_without_the_token() -> None:
    checked = new(webhook_url=f"  {URL}{IN_THREAD}  ")

    assert checked.address is not None
    assert checked.address.url == URL + IN_THREAD
    columns = checked.columns
    assert columns["webhook_url_masked"] == MASKED + IN_THREAD
    assert columns["webhook_id"] == WEBHOOK_ID
    assert columns["webhook_key"] == checked.address.key
    assert TOKEN not in repr(checked)


def test_all_hosts_of_discord_share_one_budget() -> None:
    origins = {
        new(webhook_url=URL.replace("discord.com", host)).columns["origin"]
        for host in ("discord.com", "ptb.discord.com")
    }

    assert origins == {"https://discord.com"}


@pytest.mark.parametrize(
    "url",
    [
        "",
        URL.replace("https", "http"),
        URL.replace("discord.com", "canary.discord.com"),
        URL.replace(TOKEN, "t" * 59),
        URL.replace(TOKEN, "t" * 101),
        URL.replace(WEBHOOK_ID, "1234567890123456"),
        f"{URL}/slack",
        f"{URL}?thread_id=1",
        f"{URL}#x",
        f"{URL}\0",
        5,
    ],
)
def test_any_other_url_is_refused_without_telling_the_token(url: object) -> None:
    problems = problems_of_new(webhook_url=url)

    assert paths(problems) == [("webhook_url",)]
    assert "tttttttt" not in problems[0].message


def test_masked_url_that_was_shown_means_no_change() -> None:
    assert change(webhook_url=MASKED) == Checked(columns={}, address=None)


@pytest.mark.parametrize("masked", [MASKED + IN_THREAD, MASKED.replace("1234", "4321")])
def test_masked_url_of_something_else_is_refused(masked: str) -> None:
    assert paths(problems_of_change(webhook_url=masked)) == [("webhook_url",)]


def test_masked_url_is_refused_for_a_new_task() -> None:
    assert paths(problems_of_new(webhook_url=MASKED)) == [("webhook_url",)]


@pytest.mark.parametrize("payload", [{}, {"content": " "}, [], "hello", 5, {"contents": "x"}])
def test_payload_that_is_no_message_is_refused_at_its_path(payload: object) -> None:
    assert {path[0] for path in paths(problems_of_new(payload=payload))} == {"payload"}


def test_payload_is_kept_as_it_was_given() -> None:
    payload = {"tts": False, "content": " hello ", "embeds": None}

    assert new(payload=payload).columns["payload"] is payload


THREAD_TWICE = [("payload", "thread_name")]


def test_new_task_names_its_thread_only_once() -> None:
    problems = problems_of_new(webhook_url=URL + IN_THREAD, payload=FORUM_POST)

    assert paths(problems) == THREAD_TWICE
    assert new(webhook_url=URL, payload=FORUM_POST).columns["payload"] == FORUM_POST
    assert new(webhook_url=URL + IN_THREAD, payload=HELLO).columns["payload"] == HELLO


def test_new_payload_must_fit_the_thread_of_the_stored_url() -> None:
    in_thread = current(webhook_url_masked=MASKED + IN_THREAD)

    assert paths(problems_of_change(in_thread, payload=FORUM_POST)) == THREAD_TWICE
    assert change(payload=FORUM_POST).columns == {"payload": FORUM_POST}


def test_new_url_must_fit_the_thread_of_the_stored_payload() -> None:
    forum = current(payload=FORUM_POST)

    assert paths(problems_of_change(forum, webhook_url=URL + IN_THREAD)) == THREAD_TWICE
    assert change(forum, webhook_url=URL).address is not None


def test_url_and_payload_that_change_together_are_checked_together() -> None:
    in_thread = current(webhook_url_masked=MASKED + IN_THREAD)
    forum = current(payload=FORUM_POST)

    assert change(in_thread, webhook_url=URL, payload=FORUM_POST).columns["payload"] == FORUM_POST
    assert change(forum, webhook_url=URL + IN_THREAD, payload=HELLO).columns["payload"] == HELLO
    problems = problems_of_change(webhook_url=URL + IN_THREAD, payload=FORUM_POST)
    assert paths(problems) == THREAD_TWICE


def test_masked_url_of_a_thread_still_counts_for_a_new_payload() -> None:
    in_thread = current(webhook_url_masked=MASKED + IN_THREAD)

    problems = problems_of_change(in_thread, webhook_url=MASKED + IN_THREAD, payload=FORUM_POST)

    assert paths(problems) == THREAD_TWICE


def test_url_that_is_wrong_itself_does_not_hide_the_payloads_problems() -> None:
    problems = problems_of_change(webhook_url="https://example.org/", payload={})

    assert paths(problems) == [("webhook_url",), ("payload",)]


RANGES = [("max_retry", 0, 10), ("failure_threshold", 1, 100), ("misfire_grace_seconds", 0, 86_400)]


@pytest.mark.parametrize(("field", "low", "high"), RANGES)
def test_number_within_its_range_is_taken(field: str, low: int, high: int) -> None:
    for value in (low, high):
        assert new(**{field: value}).columns[field] == value
        assert change(**{field: value}).columns == {field: value}


@pytest.mark.parametrize(("field", "low", "high"), RANGES)
def test_any_other_number_is_refused(field: str, low: int, high: int) -> None:
    for value in (low - 1, high + 1, True, 1.5, "3"):
        assert paths(problems_of_new(**{field: value})) == [(field,)]
        assert paths(problems_of_change(**{field: value})) == [(field,)]


ENUMS = [
    ("status", ["ACTIVE", "INACTIVE"]),
    ("overlap_policy", ["SKIP", "ALLOW"]),
    ("misfire_policy", ["SKIP", "FIRE_ONCE", "FIRE_ALL"]),
    ("delivery_guarantee", ["AT_LEAST_ONCE", "AT_MOST_ONCE"]),
]


@pytest.mark.parametrize(("field", "values"), ENUMS)
def test_every_known_value_is_taken(field: str, values: list[str]) -> None:
    for value in values:
        assert new(**{field: value}).columns[field] == value


@pytest.mark.parametrize(("field", "values"), ENUMS)
@pytest.mark.parametrize("value", ["active", "", "QUEUED", 1, []])
def test_any_other_value_is_refused(field: str, values: list[str], value: object) -> None:
    (problem,) = problems_of_new(**{field: value})

    assert problem.path == (field,)
    assert all(known in problem.message for known in values)


@pytest.mark.parametrize("status", [TaskStatus.FAILED, "FAILED"])
def test_failed_is_for_the_engine_to_set(status: str) -> None:
    assert paths(problems_of_new(status=status)) == [("status",)]
    assert paths(problems_of_change(status=status)) == [("status",)]
