"""The programs on the pages: each begins with a comment that names its file."""

import re

from tests.docs.blocks import Block

_NAME = re.compile(r"(?://|#) ([\w./-]+\.(?:mjs|py|ts))(?:: .*)?")


def file_name(block: Block) -> str:
    """Return the name of a program's file, which its first line tells."""
    match = _NAME.fullmatch(block.text.partition("\n")[0])
    assert match, f"{block}: the first line has to name a file, as in `// feed.mjs`"
    return match[1]
