"""The sandbox's markdown: a tree of data in which only http and https are links."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.app import PAGE
from sandbox.markdown import MAX_DEPTH, parse, parse_inline

LINK = re.compile(r"https?://\S+")
MARKS = [
    *("*", "**", "_", "__", "~~", "||", "`", "```", "[a](https://b.c)", "](", "javascript:x"),
    *("# ", "> ", "\n", "<t:1>", "<script>", "https://", "\\", "a", " "),
]


def nodes(tree: list[Any]) -> Iterator[dict[str, Any]]:
    for node in tree:
        if isinstance(node, dict):
            yield node
            yield from nodes(node["of"])


def words(tree: list[Any]) -> str:
    return "".join(node if isinstance(node, str) else words(node["of"]) for node in tree)


def depth(tree: list[Any]) -> int:
    return 1 + max((depth(node["of"]) for node in tree if isinstance(node, dict)), default=-1)


@pytest.mark.parametrize(
    ("text", "kind", "inside"),
    [
        ("**a**", "bold", ["a"]),
        ("*a*", "italic", ["a"]),
        ("_a b_", "italic", ["a b"]),
        ("__a__", "underline", ["a"]),
        ("~~a~~", "strike", ["a"]),
        ("||a||", "spoiler", ["a"]),
        ("`**a**`", "code", ["**a**"]),
        ("```py\n**a**\n```", "block", ["**a**"]),
        ("# a", "heading1", ["a"]),
        ("### #a", "heading3", ["#a"]),
        ("> a\n> b", "quote", ["a\nb"]),
        ("[a](https://b.c/d)", "link", ["a"]),
        ("https://b.c/d?e=f", "link", ["https://b.c/d?e=f"]),
        ("<t:1700000000:R>", "time", ["1700000000"]),
        ("***a***", "bold", [{"kind": "italic", "of": ["a"]}]),
    ],
)
def test_each_mark_has_its_kind(text: str, kind: str, inside: list[object]) -> None:
    [node] = parse(text)

    assert isinstance(node, dict)
    assert (node["kind"], node["of"]) == (kind, inside)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "a * b * c",
        "snake_case_name",
        "**open",
        "#channel",
        "<@123> <#456> <:smile:789>",
        "<script>alert(1)</script>",
        "[a](javascript:alert(1))",
        "[a](data:text/html,b)",
        "javascript:alert(1)",
        'ftp://b.c "onload=x"',
    ],
)
def test_the_rest_stays_as_it_was_written(text: str) -> None:
    assert parse(text) == ([text] if text else [])


def test_an_escaped_mark_is_its_character() -> None:
    assert words(parse(r"\*a\* \[b](https://c.d)")).startswith("*a* [b](")
    assert not [node for node in nodes(parse(r"\*a\*")) if node]


def test_a_link_ends_before_the_sentence_does() -> None:
    assert parse("see https://b.c/d.")[1:] == [
        {"kind": "link", "href": "https://b.c/d", "of": ["https://b.c/d"]},
        ".",
    ]


def test_text_around_blocks_stays() -> None:
    assert parse("a\n```\nb\n```\nc") == ["a", {"kind": "block", "of": ["b"]}, "c"]


@given(st.lists(st.sampled_from(MARKS), max_size=60).map("".join))
def test_whatever_is_written_links_are_of_the_web_and_marks_end_somewhere(text: str) -> None:
    for tree in (parse(text), parse_inline(text)):
        links = [node for node in nodes(tree) if node["kind"] == "link"]
        assert all(LINK.fullmatch(node["href"]) for node in links)
        assert all("href" not in node for node in nodes(tree) if node["kind"] != "link")
        assert depth(tree) <= MAX_DEPTH + 3


@pytest.mark.parametrize("mark", MARKS)
def test_a_long_text_of_one_mark_is_read(mark: str) -> None:
    text = (mark + "a") * (4096 // (len(mark) + 1))

    assert words(parse(text))


def test_the_page_has_an_element_for_every_kind() -> None:
    text = "# a\n## b\n### c\n> d\n**e** *f* __g__ ~~h~~ ||i|| `j`\n```k```\n"
    tags = (PAGE / "page.js").read_text().partition("const TAGS")[2].partition("}")[0]

    kinds = {node["kind"] for node in nodes(parse(text))}

    assert len(kinds) == 11
    assert kinds == set(re.findall(r"(\w+): ", tags))
