"""The errors of the storage layer."""


class StorageError(Exception):
    """The storage could not do what it was asked."""


class DatabaseUnavailable(StorageError):
    """The database could not be reached, or went away; what was under way is not stored."""


class ReadTooSlow(DatabaseUnavailable):
    """A read took longer than it may, and the server was told to stop it."""


class MigrationFailed(StorageError):
    """The database's tables could not be brought to this version."""
