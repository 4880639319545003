"""The part of Discord's markdown that the page shows, as a tree of plain data.

No HTML is made here or on the page: a node is a text, or a kind out of a short list with nodes in
it, for which the page makes an element. Only http and https become links.
"""

import re
from collections.abc import Iterator
from itertools import groupby

Node = str | dict[str, object]

MAX_DEPTH = 5
"""Marks inside of more marks than this stay as they were written."""

_CODE_BLOCK = re.compile(r"```(?:[\w+-]{1,20}\n)?(?P<code>.+?)```", re.DOTALL)
_HEADING = re.compile(r"(?P<level>#{1,3}) +(?P<text>.+)")
# The first alternative that fits wins; the groups that hold more marks are in _NESTED.
_MARK = re.compile(
    r"""
      \\(?P<escaped>[!-/:-@\[-`{-~])
    | `(?P<code>[^`\n]+)`
    | \*\*(?P<bold>.+?)\*\*(?!\*)
    | __(?P<underline>.+?)__(?!_)
    | ~~(?P<strike>.+?)~~
    | \|\|(?P<spoiler>.+?)\|\|
    | \*(?P<italic>[^\s*][^*]*)\*
    | (?<!\w)_(?P<slanted>[^\s_][^_]*)_(?!\w)
    | \[(?P<label>[^\[\]\n]{1,200})\]\((?P<href>https?://[^\s()<>]+)\)
    | (?P<bare>https?://[^\s<>]*[^\s<>.,:;"')\]])
    | <t:(?P<epoch>\d{1,11})(?::[tTdDfFR])?>
    """,
    re.VERBOSE | re.DOTALL,
)
_NESTED = frozenset({"bold", "underline", "strike", "spoiler", "italic"})


def parse(text: str) -> list[Node]:
    """Return the nodes of a text: code blocks, headings, quotes, and the marks in each."""
    nodes: list[Node] = []
    end = 0
    for block in _CODE_BLOCK.finditer(text):
        nodes += _lines(text[end : block.start()].removesuffix("\n"))
        nodes.append({"kind": "block", "of": [block["code"].strip("\n")]})
        end = block.end()
    rest = text[end:]
    return [*nodes, *_lines(rest.removeprefix("\n") if end else rest)]


def parse_inline(text: str, depth: int = 0) -> list[Node]:
    """Return the nodes of a text in which only marks within a line count."""
    if depth > MAX_DEPTH:
        return [text]
    nodes: list[Node] = []
    end = 0
    for mark in _MARK.finditer(text):
        nodes += _plain(text[end : mark.start()])
        nodes.append(_marked(mark, depth))
        end = mark.end()
    return [*nodes, *_plain(text[end:])]


def _plain(text: str) -> list[Node]:
    return [text] if text else []


def _marked(mark: re.Match[str], depth: int) -> Node:
    kind = str(mark.lastgroup)
    found = mark[kind]
    match kind:
        case "escaped":
            return found
        case "bare":
            return {"kind": "link", "href": found, "of": [found]}
        case "href":
            return {"kind": "link", "href": found, "of": [mark["label"]]}
        case "epoch":
            return {"kind": "time", "epoch": int(found), "of": [found]}
        case "slanted":
            return {"kind": "italic", "of": parse_inline(found, depth + 1)}
        case _ if kind in _NESTED:
            return {"kind": kind, "of": parse_inline(found, depth + 1)}
        case _:
            return {"kind": "code", "of": [found]}


def _lines(text: str) -> Iterator[Node]:
    """Yield headings and quotes as elements of their own, the lines between them together."""
    for kind, group in groupby(text.split("\n") if text else [], key=_line_kind):
        lines = list(group)
        if kind == "text":
            yield from parse_inline("\n".join(lines))
        elif kind == "quote":
            yield {"kind": kind, "of": parse_inline("\n".join(line[2:] for line in lines))}
        else:
            for line in lines:
                yield {"kind": kind, "of": parse_inline(_HEADING.sub(r"\g<text>", line))}


def _line_kind(line: str) -> str:
    if heading := _HEADING.fullmatch(line):
        return f"heading{len(heading['level'])}"
    return "quote" if line.startswith("> ") else "text"
