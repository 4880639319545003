"""How the service logs: structured, one line an event, and never a webhook's token."""

import json
import logging
import re
import sys
import traceback
from contextlib import suppress
from typing import TextIO

import orjson
import structlog

from engine.masking import mask, may_hide_a_token

# In a group of exceptions each line is indented.
_DETAIL = re.compile(r"\n[ |]*DETAIL:  .*", re.DOTALL)


def configure_logging(*, level: str, as_json: bool, output: TextIO = sys.stdout) -> None:
    """Send our events and those of the libraries to `output`, in one form.

    The libraries are heard from WARNING on.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render: structlog.typing.Processor
    if as_json:
        shared.append(structlog.processors.ExceptionRenderer(_traceback))
        render = structlog.processors.JSONRenderer(serializer=_dumps)
    else:
        render = structlog.dev.ConsoleRenderer(
            colors=output.isatty(),
            exception_formatter=lambda out, exc_info: print(f"\n{_traceback(exc_info)}", file=out),
        )

    def render_masked(logger: object, method: str, event: structlog.typing.EventDict) -> str:
        may_hide = any(map(may_hide_a_token, event.values()))
        line = str(render(logger, method, event))
        return mask(line) if may_hide else line

    structlog.configure(
        processors=[*shared, render_masked],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Lines(output),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(output)
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[remove_meta, render_masked]
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.captureWarnings(True)


class _Lines:
    """Writes lines. Output that is gone must not turn into a failure of what is logged."""

    def __init__(self, output: TextIO) -> None:
        self._output = output

    def msg(self, line: str) -> None:
        with suppress(OSError, ValueError):
            self._output.write(f"{line}\n")
            self._output.flush()

    log = debug = info = warning = error = critical = exception = fatal = msg


def _traceback(exc_info: structlog.typing.ExcInfo) -> str:
    """Return the traceback without what PostgreSQL quotes of a row: it may be a message."""
    parts = traceback.format_exception(*exc_info)
    return "".join(_DETAIL.sub("\n", part) for part in parts).rstrip("\n")


def _dumps(event: object, **_: object) -> str:
    try:
        return orjson.dumps(event, default=str).decode()
    except TypeError:  # a lone surrogate, an integer beyond 64 bits, a key that is no text
        return json.dumps(event, default=str)
