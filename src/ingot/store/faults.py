"""What the store says when it cannot do its work: texts for people, with what to do next.

    StoreError             the file, the disk, the schema or the pepper is not as it must be
      StoreConflict        a row broke a rule of the schema (unique, foreign key, check)

Knows no driver: `engine` translates what drivers raise.
"""


class StoreError(Exception):
    """A fault of storage that the operator can mend; its text says how."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class StoreConflict(StoreError):
    """The database refused a row because of what it holds already."""
