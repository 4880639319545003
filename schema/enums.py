"""What the API says about the enums of the models."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from graphql import GraphQLSchema, assert_enum_type

from models.enums import (
    AuditAction,
    DeliveryGuarantee,
    LogStatus,
    MisfirePolicy,
    OverlapPolicy,
    RunTrigger,
    TaskStatus,
)

DESCRIPTIONS: Final[Mapping[type[StrEnum], tuple[str, Mapping[str, str]]]] = {
    TaskStatus: (
        "Whether a task ticks.",
        {
            "ACTIVE": "It runs on its schedule.",
            "INACTIVE": "It was turned off; toggleTask turns it on.",
            "FAILED": "The service turned it off because runs failed; statusReason says why. "
            "toggleTask turns it on again.",
        },
    ),
    LogStatus: (
        "What became of one attempt.",
        {
            "QUEUED": "Stored, not finished yet.",
            "SUCCESS": "Discord accepted it.",
            "RETRYING": "This attempt failed, another one follows.",
            "FAILED": "This attempt failed, and it was the run's last.",
            "SKIPPED": "The tick was not sent; message says which policy decided that and why.",
            "UNKNOWN": "Nobody can tell whether it was posted, and the task forbids a resend.",
        },
    ),
    RunTrigger: (
        "What made a run.",
        {
            "SCHEDULE": "A tick of the task's schedule.",
            "MANUAL": "triggerTask.",
            "CATCH_UP": "A missed tick, by the task's misfire policy.",
        },
    ),
    OverlapPolicy: (
        "What a tick does while the task's last run is unfinished.",
        {
            "SKIP": "It is recorded as SKIPPED.",
            "ALLOW": "It runs as well, after the earlier one.",
        },
    ),
    MisfirePolicy: (
        "What becomes of ticks that were missed while nothing was running.",
        {
            "SKIP": "None of them fires.",
            "FIRE_ONCE": "The latest fires, if it is not older than misfireGraceSeconds.",
            "FIRE_ALL": "All that are not older than misfireGraceSeconds fire, oldest first.",
        },
    ),
    DeliveryGuarantee: (
        "What to do when nobody can tell whether a message was posted.",
        {
            "AT_LEAST_ONCE": "Send it again: it may be posted twice.",
            "AT_MOST_ONCE": "Don't send it again: it may be lost.",
        },
    ),
    AuditAction: (
        "What was done.",
        {
            "TASK_CREATED": "createTask.",
            "TASK_UPDATED": "updateTask, if it changed anything.",
            "TASK_DELETED": "deleteTask.",
            "TASK_TOGGLED": "toggleTask.",
            "TASK_TRIGGERED": "triggerTask.",
            "TASKS_RELOADED": "reloadTasks.",
            "TASK_FAILED": "The engine turned a task FAILED, because runs of it failed.",
        },
    ),
}


def describe_enums(schema: GraphQLSchema) -> None:
    """Write the descriptions into a schema; the models know nothing of the API."""
    for enum, (description, values) in DESCRIPTIONS.items():
        described = assert_enum_type(schema.type_map[enum.__name__])
        described.description = description
        for name, text in values.items():
            described.values[name].description = text
