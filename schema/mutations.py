"""The mutations of the API, thin: TaskService does the work."""

from typing import Annotated

import strawberry

from schema.arguments import IdArgument
from schema.context import Info
from schema.documented import object_type, resolver
from schema.inputs import CreateTaskInput, UpdateTaskInput, given
from schema.types import Task, TaskLog

argument = strawberry.argument


@object_type
class Mutation:
    """What can be changed. Each change is written to the audit log."""

    @resolver
    async def create_task(
        self,
        info: Info,
        new: Annotated[CreateTaskInput, argument(name="input", description="The new task.")],
    ) -> Task:
        """Create a task; CONFLICT when the name is taken."""
        context = info.context
        return Task.of_stored(await context.services.tasks.create(context.actor, given(new)))

    @resolver
    async def update_task(
        self,
        info: Info,
        task_id: IdArgument,
        changes: Annotated[UpdateTaskInput, argument(name="input", description="The changes.")],
    ) -> Task:
        """Change a task. What is queued follows the change."""
        context = info.context
        task = await context.services.tasks.update(context.actor, task_id, given(changes))
        return Task.of_stored(task)

    @resolver
    async def delete_task(self, info: Info, task_id: IdArgument) -> Task:
        """Delete a task and its logs for good, and return it as it was."""
        context = info.context
        return Task.of_stored(await context.services.tasks.delete(context.actor, task_id))

    @resolver
    async def toggle_task(self, info: Info, task_id: IdArgument) -> Task:
        """Turn an ACTIVE task INACTIVE, and any other ACTIVE."""
        context = info.context
        return Task.of_stored(await context.services.tasks.toggle(context.actor, task_id))

    @resolver
    async def trigger_task(self, info: Info, task_id: IdArgument) -> TaskLog:
        """Run a task now, whatever its status, and return the QUEUED attempt."""
        context = info.context
        return TaskLog.of_stored(await context.services.tasks.trigger(context.actor, task_id))

    @resolver
    async def reload_tasks(self, info: Info) -> int:
        """Have every copy of the service re-read all tasks; return how many are ACTIVE."""
        context = info.context
        return await context.services.tasks.reload(context.actor)
