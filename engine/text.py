"""Text that people type: one form for what looks alike, nothing that can't be seen."""

import re
import unicodedata
from typing import Final

MAX_CHARS: Final = 4_000
CONTROL_CHARACTERS: Final = "has control characters"
# With them halves of surrogate pairs, which are no text, and Unicode's own line ends.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")


def has_control_characters(text: str) -> bool:
    """Return whether there is anything that can't stand in one line of text."""
    return _CONTROL.search(text) is not None


def normalised(text: str) -> str:
    """Return the text without blanks around it, composed as Unicode's form C has it.

    One too long to be stored anywhere is not composed: with many marks that takes minutes.
    """
    return (text if len(text) > MAX_CHARS else unicodedata.normalize("NFC", text)).strip()
