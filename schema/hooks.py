"""How the hooks of extensions are called: of each operation Strawberry looks anew at what they are.

Here they are generators that don't await, and are told of no error.
"""

from collections.abc import Generator
from types import TracebackType

from strawberry.extensions import SchemaExtension
from strawberry.extensions.context import (
    ExecutingContextManager,
    ExtensionContextManagerBase,
    OperationContextManager,
    ParsingContextManager,
    ValidationContextManager,
)
from strawberry.extensions.runner import SchemaExtensionsRunner


class _Step(ExtensionContextManagerBase):
    """Runs one hook of the extensions that have it: up to its yield, and in the end the rest."""

    def __init__(self, extensions: list[SchemaExtension]) -> None:
        inherited = getattr(SchemaExtension, self.HOOK_NAME)
        self._running: list[Generator[None, None, None]] = [
            getattr(extension, self.HOOK_NAME)()
            for extension in extensions
            if getattr(type(extension), self.HOOK_NAME) is not inherited
        ]

    async def __aenter__(self) -> None:
        for hook in self._running:
            next(hook)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        for hook in reversed(self._running):
            if exc_val is None:
                next(hook, None)
            else:
                hook.close()


class _Operation(_Step, OperationContextManager):
    pass


class _Parsing(_Step, ParsingContextManager):
    pass


class _Validation(_Step, ValidationContextManager):
    pass


class _Executing(_Step, ExecutingContextManager):
    pass


class Hooks(SchemaExtensionsRunner):
    """Strawberry's runner, with steps that cost less."""

    def operation(self) -> OperationContextManager:
        """Return what surrounds the operation."""
        return _Operation(self.extensions)

    def parsing(self) -> ParsingContextManager:
        """Return what surrounds the reading of the document."""
        return _Parsing(self.extensions)

    def validation(self) -> ValidationContextManager:
        """Return what surrounds its validation."""
        return _Validation(self.extensions)

    def executing(self) -> ExecutingContextManager:
        """Return what surrounds its execution."""
        return _Executing(self.extensions)
