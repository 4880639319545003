"""Whatever is logged, by whomever, in whichever form: no token of a webhook is in it."""

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import orjson
import pytest

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "aBcD-_0123" * 7
URL = f"https://discord.com/api/webhooks/123456789012345678/{TOKEN}"
MASKED = "https://discord.com/api/webhooks/123456789012345678/****"

PRELUDE = f"""
import asyncio, logging, os, sys
import structlog
from engine.logs import configure_logging
URL = {URL!r}
log = structlog.get_logger("test")
"""

FORMS = pytest.mark.parametrize("as_json", [True, False], ids=["json", "console"])


def run(code: str, *, as_json: bool, level: str = "INFO") -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own whose logging is configured like the service's."""
    configure = f"configure_logging(level={level!r}, as_json={as_json})\n"
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + configure + dedent(code)],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )


def logged(code: str, *, as_json: bool, level: str = "INFO") -> str:
    """Return what the code logged; it may write nowhere else."""
    done = run(code, as_json=as_json, level=level)
    assert done.stderr == ""
    return done.stdout


def assert_masked(text: str) -> None:
    assert MASKED in text
    assert TOKEN not in text
    assert TOKEN[:10] not in text


@FORMS
def test_url_in_an_event_is_masked(as_json: bool) -> None:
    text = logged(
        """
        log.info("sent", url=URL)
        log.info("sent to " + URL)
        log.info("sent", url=URL + "?thread_id=998877665544332211&wait=true")
        log.info("sent", nested={"urls": [URL, (URL,)]})
        log.info("sent", url=URL.encode())
        log.info("sent", url=URL.replace("/api/", "/api/v10/"))
        log.info("sent", error=ValueError(URL))
        log.bind(url=URL).warning("sent")
        structlog.contextvars.bind_contextvars(url=URL)
        log.info("sent")
        """,
        as_json=as_json,
    )

    lines = text.splitlines()
    assert len(lines) == 9
    assert all("webhooks/123456789012345678/****" in line for line in lines)
    assert_masked(text)


@FORMS
def test_url_in_an_exception_is_masked(as_json: bool) -> None:
    text = logged(
        """
        try:
            raise ValueError(f"can't post to {URL}")
        except ValueError:
            log.exception("failed")
        """,
        as_json=as_json,
    )

    assert "ValueError" in text
    assert_masked(text)


@FORMS
def test_url_in_a_cause_and_in_a_line_of_code_is_masked(as_json: bool) -> None:
    text = logged(
        f"""
        import pathlib, runpy, tempfile
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "shown.py")
            path.write_text("raise ValueError('{URL}')")
            try:
                try:
                    runpy.run_path(str(path))
                except ValueError as error:
                    raise RuntimeError("outer") from error
            except RuntimeError:
                log.exception("failed")
        """,
        as_json=as_json,
    )

    assert "shown.py" in text
    assert text.count("****") == 2
    assert_masked(text)


@FORMS
def test_url_in_a_record_of_a_library_is_masked(as_json: bool) -> None:
    text = logged(
        """
        lib = logging.getLogger("aiohttp")
        lib.warning("redirected to %s", URL)
        lib.error("redirected to " + URL)
        lib.error({"url": URL})
        lib.error(ValueError(URL))
        """,
        as_json=as_json,
    )

    assert len(text.splitlines()) == text.count("****") == 4
    assert_masked(text)


@FORMS
def test_url_in_a_librarys_exception_is_masked(as_json: bool) -> None:
    text = logged(
        """
        try:
            raise OSError(f"can't post to {URL}")
        except OSError:
            logging.getLogger("asyncio").exception("failed with %s", URL)
        """,
        as_json=as_json,
    )

    assert "OSError" in text
    assert text.count("****") >= 2
    assert_masked(text)


@FORMS
def test_url_in_an_exception_that_nobody_caught_in_the_loop_is_masked(as_json: bool) -> None:
    text = logged(
        """
        async def main():
            asyncio.get_running_loop().call_soon(fail)
            await asyncio.sleep(0)
        def fail():
            raise ValueError(URL)
        asyncio.run(main())
        """,
        as_json=as_json,
    )

    assert "ValueError" in text
    assert_masked(text)


@FORMS
def test_what_postgresql_quotes_of_a_row_is_left_out(as_json: bool) -> None:
    text = logged(
        r"""
        import asyncpg
        refused = asyncpg.CheckViolationError("new row violates check")
        refused.detail = "Failing row contains (1, a private (secret). message)."
        refused.hint = "None."
        try:
            raise refused
        except Exception as error:
            outer = RuntimeError("could not save")
            try:
                raise outer from error
            except RuntimeError:
                log.exception("failed")
                logging.getLogger("asyncio").exception("failed too")
            try:
                raise ExceptionGroup("several", [error])
            except ExceptionGroup:
                log.exception("failed in a group")
        """,
        as_json=as_json,
    )

    assert text.count("CheckViolationError: new row violates check") == 4
    assert text.count("RuntimeError: could not save") == 2
    assert "private" not in text
    assert "message" not in text


def test_json_has_one_object_a_line_with_level_and_time() -> None:
    text = logged(
        r"""
        log.info("sent", count=2, text="two\nlines")
        logging.getLogger("aiohttp").warning("slow")
        try:
            raise ValueError("bad")
        except ValueError:
            log.exception("failed")
        """,
        as_json=True,
    )

    sent, slow, failed = (orjson.loads(line) for line in text.splitlines())
    assert (sent["event"], sent["level"], sent["count"]) == ("sent", "info", 2)
    assert (slow["event"], slow["level"]) == ("slow", "warning")
    assert (failed["event"], failed["level"]) == ("failed", "error")
    assert "Traceback" in failed["exception"]
    assert all(event["timestamp"].endswith("Z") for event in (sent, slow, failed))


@FORMS
@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("DEBUG", ["own debug", "own info", "own warning"]),
        ("INFO", ["own info", "own warning"]),
        ("WARNING", ["own warning"]),
        ("ERROR", []),
    ],
)
def test_level_is_that_of_our_own_events(level: str, expected: list[str], as_json: bool) -> None:
    text = logged(
        "log.debug('own debug'); log.info('own info'); log.warning('own warning')",
        as_json=as_json,
        level=level,
    )

    assert [line for line in ("own debug", "own info", "own warning") if line in text] == expected


@FORMS
def test_libraries_are_heard_from_warnings_on(as_json: bool) -> None:
    text = logged(
        "logging.getLogger('lib').info('theirs quiet'); logging.getLogger('lib').error('theirs')",
        as_json=as_json,
        level="DEBUG",
    )

    assert "theirs" in text
    assert "quiet" not in text


@FORMS
def test_warnings_of_python_are_events_too(as_json: bool) -> None:
    text = logged(
        """
        import warnings
        warnings.warn("odd: " + URL, RuntimeWarning)
        """,
        as_json=as_json,
    )

    assert "RuntimeWarning: odd" in text
    assert_masked(text)


@FORMS
@pytest.mark.parametrize(
    "break_output", ["sys.stdout.close()", "r, w = os.pipe(); os.close(r); os.dup2(w, 1)"]
)
def test_logging_never_raises_where_output_is_gone(break_output: str, as_json: bool) -> None:
    """What is logged after a request was sent must not turn the request into a failure."""
    done = run(
        f"""
        {break_output}
        try:
            log.info("sent")
        except Exception as error:
            print("raised", repr(error), file=sys.stderr)
        finally:
            os._exit(0)
        """,
        as_json=as_json,
    )

    assert "raised" not in done.stderr


def test_logging_never_raises_for_what_json_can_not_hold() -> None:
    text = logged(
        """
        for value in ("\\ud800", 2**70, object(), {1: 2}, float("nan")):
            log.warning("odd", value=value)
        """,
        as_json=True,
    )

    assert len(text.splitlines()) == 5
