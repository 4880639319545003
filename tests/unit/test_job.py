from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import aiocron
import pytest
from structlog.testing import capture_logs

from engine.job import LAST_SLEEP_SECONDS, LATE_SECONDS, TaskJob
from tests.fake_loop import NOON, TASK_ID, FakeLoop, Reports, every, make_job, started


@pytest.fixture
def loop() -> FakeLoop:
    return FakeLoop()


@pytest.fixture
def reports(loop: FakeLoop) -> Reports:
    return Reports(loop)


def test_job_is_an_aiocron_job_and_tells_what_it_is(reports: Reports) -> None:
    job = make_job(reports, "*/5 * * * *")

    assert isinstance(job, aiocron.Cron)
    assert str(job) == repr(job) == f"<TaskJob {TASK_ID} version 3: */5 * * * *>"


@pytest.mark.parametrize(
    ("expression", "step_seconds"),
    [("* * * * * *", 1), ("*/7 * * * * *", 7), ("* * * * *", 60), ("@hourly", 3600)],
)
def test_every_tick_is_reported_once_on_time(
    loop: FakeLoop, reports: Reports, expression: str, step_seconds: int
) -> None:
    job = started(reports, expression)

    loop.run(6 * step_seconds + 0.5)

    expected = every(step_seconds, NOON + timedelta(seconds=step_seconds), 6)
    assert reports.ticks == expected
    assert reports.latenesses == pytest.approx([0.0] * 6, abs=1e-6)
    assert reports.gaps == []
    assert job.last_tick == expected[-1]
    assert job.next_tick == expected[-1] + timedelta(seconds=step_seconds)


def test_nothing_is_reported_before_the_first_turn_of_the_loop(
    loop: FakeLoop, reports: Reports
) -> None:
    job = make_job(reports, "* * * * *")

    job.start(NOON - timedelta(seconds=1))

    assert reports.calls == []
    assert job.last_tick is None
    loop.turn()
    assert reports.calls == [(NOON.timestamp(), [NOON])]


def test_tick_at_the_start_itself_is_not_later_than_it(loop: FakeLoop, reports: Reports) -> None:
    job = make_job(reports, "* * * * *")

    job.start(NOON + timedelta(seconds=0.25))
    loop.run(59)

    assert reports.calls == []
    assert job.next_tick == NOON + timedelta(minutes=1)


def test_each_report_tells_since_when_there_was_no_other_tick(
    loop: FakeLoop, reports: Reports
) -> None:
    after = NOON - timedelta(seconds=0.3)
    make_job(reports, "* * * * * *").start(after)

    loop.run(1)
    loop.stall(2.5)
    loop.run(0.5)
    loop.stall(8.5)
    loop.run(1)

    assert reports.since == [after, *every(1, NOON, 2), *every(3, NOON + timedelta(seconds=3), 1),
                             NOON + timedelta(seconds=12)]  # fmt: skip


def test_start_without_an_instant_begins_now(loop: FakeLoop, reports: Reports) -> None:
    make_job(reports, "* * * * *").start()

    loop.run(61)

    assert reports.ticks == [NOON + timedelta(minutes=1)]


def test_start_after_an_instant_to_come_reports_nothing_up_to_it(
    loop: FakeLoop, reports: Reports
) -> None:
    make_job(reports, "* * * * * *").start(NOON + timedelta(seconds=3.5))

    loop.run(5)

    assert reports.ticks == every(1, NOON + timedelta(seconds=4), 2)


def test_old_tick_at_the_start_is_a_gap_and_no_tick(loop: FakeLoop, reports: Reports) -> None:
    job = make_job(reports, "* * * * *")

    job.start(NOON - timedelta(seconds=86_400))
    loop.run(120)

    assert reports.gaps == [NOON.timestamp()]
    assert reports.ticks == every(60, NOON + timedelta(minutes=1), 2)


@pytest.mark.parametrize(("late_seconds", "gaps"), [(LATE_SECONDS, 0), (LATE_SECONDS + 0.01, 1)])
def test_tick_is_a_misfire_when_it_is_more_than_five_seconds_late(
    loop: FakeLoop, reports: Reports, late_seconds: float, gaps: int
) -> None:
    started(reports, "* * * * *")

    loop.stall(60 + late_seconds)
    loop.turn()

    assert len(reports.gaps) == gaps
    assert len(reports.calls) == 1 - gaps


def test_stall_of_three_seconds_gives_one_report_with_all_ticks(
    loop: FakeLoop, reports: Reports
) -> None:
    started(reports, "* * * * * *")
    loop.run(10)
    before = len(reports.calls)

    loop.stall(3.2)
    loop.run(2)

    assert [len(ticks) for _, ticks in reports.calls[before:]] == [3, 1, 1]
    assert reports.ticks == every(1, NOON + timedelta(seconds=1), 15)
    assert reports.gaps == []


def test_stall_over_five_seconds_gives_one_gap_and_no_burst(
    loop: FakeLoop, reports: Reports
) -> None:
    started(reports, "* * * * * *")
    loop.run(10.5)

    loop.stall(7)
    loop.run(2)

    assert reports.gaps == [NOON.timestamp() + 17.5]
    assert reports.ticks == [
        *every(1, NOON + timedelta(seconds=1), 10),
        *every(1, NOON + timedelta(seconds=18), 2),
    ]


def test_long_wait_is_slept_in_few_parts_and_its_end_in_a_short_one(
    loop: FakeLoop, reports: Reports
) -> None:
    started(reports, "0 12 1 * *")
    waits: list[float] = []

    while not reports.calls:
        waits += loop.timers()
        loop.run(waits[-1])

    assert reports.ticks == [datetime(2026, 6, 1, 12, tzinfo=UTC)]
    assert len(waits) < 10
    assert waits[-1] <= LAST_SLEEP_SECONDS


@pytest.mark.parametrize("expression", ["@hourly", "@daily", "0 12 1 * *"])
@pytest.mark.parametrize("rate", [0.91, 0.9995, 1.0005, 1.09])
def test_clock_that_is_not_as_fast_as_the_loops_matters_in_the_last_sleep_alone(
    loop: FakeLoop, reports: Reports, expression: str, rate: float
) -> None:
    """Its small corrections, of which nobody is told, may add up for a month."""
    loop.rate = rate
    tick = started(reports, expression).next_tick

    loop.run((tick.timestamp() - loop.wall) / rate + LAST_SLEEP_SECONDS)

    assert reports.ticks == [tick]
    (lateness,) = reports.latenesses
    assert 0.0 <= lateness <= LAST_SLEEP_SECONDS * max(rate - 1.0, 0.0) + 1e-5


def test_timer_that_wakes_early_waits_for_the_tick(loop: FakeLoop, reports: Reports) -> None:
    started(reports, "* * * * * *")

    loop.stall(0.999)
    loop.turn(early_seconds=0.001)

    assert reports.calls == []
    assert loop.timers() == pytest.approx([0.001], abs=1e-6)
    loop.run(0.002)
    assert reports.ticks == every(1, NOON + timedelta(seconds=1), 1)


@pytest.mark.parametrize("step_seconds", [0.7, -0.7, 0.001, -0.001, 3600.0, -3600.0, -86_400.0])
def test_after_a_step_of_the_clock_ticks_are_on_time_again(
    loop: FakeLoop, reports: Reports, step_seconds: float
) -> None:
    started(reports, "*/10 * * * * *")
    loop.run(15)
    loop.wall += step_seconds
    stepped_to = loop.wall

    loop.run(60)

    last = reports.calls[-5:]
    assert [at - tick.timestamp() for at, (tick,) in last] == pytest.approx([0.0] * 5, abs=1e-6)
    assert last[-1][0] > stepped_to + 40
    assert all(lateness >= 0.0 for lateness in reports.latenesses)


def test_tick_is_not_early_after_a_small_step_back(loop: FakeLoop, reports: Reports) -> None:
    started(reports, "* * * * *")
    loop.run(50)

    loop.wall -= 0.7
    loop.run(10.6)
    assert reports.calls == []
    loop.run(0.2)

    assert reports.ticks == [NOON + timedelta(minutes=1)]


def test_step_forward_over_ticks_is_a_gap(loop: FakeLoop, reports: Reports) -> None:
    """As after a suspension, in which the loop's time stood still."""
    job = started(reports, "@hourly")
    loop.run(10)

    loop.wall += 2 * 3600
    job.reanchor()
    loop.turn()

    assert len(reports.gaps) == 1
    assert reports.calls == []
    assert job.next_tick == NOON + timedelta(hours=3)


@pytest.mark.parametrize("steps", [(80_000.0,), (-7200.0,), (3600.0, -1800.0, 20_000.0)])
def test_far_tick_is_on_time_after_steps(
    loop: FakeLoop, reports: Reports, steps: Sequence[float]
) -> None:
    job = started(reports, "0 11 * * *")
    for step_seconds in steps:
        loop.run(100)
        loop.wall += step_seconds
        job.reanchor()
    tick = job.next_tick

    loop.run(tick.timestamp() - loop.wall + 1)

    assert reports.ticks == [tick]
    assert reports.latenesses == pytest.approx([0.0], abs=1e-6)


def test_reanchor_plans_by_the_clock_at_once(loop: FakeLoop, reports: Reports) -> None:
    job = started(reports, "* * * * *")
    loop.run(61)

    loop.wall -= 3600
    job.reanchor()
    assert job.next_tick == NOON - timedelta(minutes=58)
    loop.wall += 3600 + 58.5
    job.reanchor()

    assert loop.timers() == pytest.approx([0.0])
    loop.turn()
    assert reports.gaps == [pytest.approx(NOON.timestamp() + 119.5)]


def test_reanchor_after_a_step_forward_is_on_time(loop: FakeLoop, reports: Reports) -> None:
    job = started(reports, "* * * * *")
    loop.run(50)

    loop.wall += 0.7
    job.reanchor()
    loop.run(20)

    assert reports.latenesses == pytest.approx([0.0], abs=1e-6)


def test_step_back_does_not_forget_the_tick_that_is_due(loop: FakeLoop, reports: Reports) -> None:
    job = make_job(reports, "@hourly")
    job.start(NOON - timedelta(seconds=86_400))

    loop.wall -= 60
    job.reanchor()
    loop.turn()

    assert len(reports.gaps) == 1


def test_reading_a_hair_before_a_tick_does_not_pass_over_it(
    loop: FakeLoop, reports: Reports
) -> None:
    """Rounded to microseconds, such a reading is the tick itself."""
    loop.wall = NOON.timestamp() - 2.4e-7
    assert loop.wall < NOON.timestamp()

    job = make_job(reports, "* * * * *")
    job.start(NOON - timedelta(seconds=3600))
    loop.turn()

    assert len(reports.gaps) == 1
    assert job.next_tick == NOON


@pytest.fixture
def log() -> Iterator[list[dict[str, object]]]:
    with capture_logs() as entries:
        yield entries  # type: ignore[misc] # its dicts are only more exact


def fail(job: TaskJob) -> None:
    raise RuntimeError(f"no room for {job.version}")


def test_exception_of_a_report_is_logged_and_the_job_goes_on(
    loop: FakeLoop, reports: Reports, log: list[dict[str, object]]
) -> None:
    started(reports, "* * * * * *")
    reports.at_report = fail

    loop.run(2)
    loop.stall(10)
    loop.run(1)

    assert reports.ticks == [
        *every(1, NOON + timedelta(seconds=1), 2),
        NOON + timedelta(seconds=13),
    ]
    assert len(reports.gaps) == 1
    assert [entry["task_id"] for entry in log] == [str(TASK_ID)] * 4
    assert {entry["log_level"] for entry in log} == {"error"}


def test_nothing_is_reported_after_stop(loop: FakeLoop, reports: Reports) -> None:
    job = started(reports, "* * * * * *")
    loop.run(2)

    job.stop()
    job.stop()
    loop.run(60)

    assert len(reports.ticks) == 2
    assert loop.timers() == []


@pytest.mark.parametrize("stall_seconds", [1, 10])
def test_report_may_stop_the_job(loop: FakeLoop, reports: Reports, stall_seconds: int) -> None:
    started(reports, "* * * * * *")
    reports.at_report = TaskJob.stop

    loop.stall(stall_seconds)
    loop.run(60)

    assert len(reports.calls) + len(reports.gaps) == 1
    assert loop.timers() == []


def test_stop_and_reanchor_of_a_job_not_started_do_nothing(
    loop: FakeLoop, reports: Reports
) -> None:
    job = make_job(reports, "* * * * * *")

    job.stop()
    job.reanchor()

    assert loop.timers() == []


def test_job_has_one_timer_however_often_it_is_started(loop: FakeLoop, reports: Reports) -> None:
    job = started(reports, "* * * * * *")

    job.start()
    job.reanchor()
    loop.run(3)

    assert len(loop.timers()) == 1
    assert len(reports.ticks) == 3


@pytest.mark.parametrize(
    ("expression", "day", "times"),
    [
        ("30 2 * * *", "2026-03-29", ["03:00+0200"]),
        ("0 30 2 * * *", "2026-10-25", ["02:30+0200"]),
        ("30 */2 * * *", "2026-10-25", ["00:30+0200", "02:30+0200", "02:30+0100", "04:30+0100"]),
    ],
)
def test_job_keeps_the_dst_rule_of_its_zone(expression: str, day: str, times: list[str]) -> None:
    zone = ZoneInfo("Europe/Berlin")
    loop = FakeLoop(datetime.fromisoformat(day).replace(tzinfo=zone))
    reports = Reports(loop)
    started(reports, expression, zone.key)

    loop.run(6 * 3600 - 60)

    assert [tick.astimezone(zone).strftime("%H:%M%z") for tick in reports.ticks] == times
    assert reports.latenesses == pytest.approx([0.0] * len(times), abs=1e-6)
