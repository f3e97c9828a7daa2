"""No link but an issued one survives, however it is written and wherever a stream is cut."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from answer.links import LOOK_AHEAD, LinkStream, strip_links

ISSUED = {"https://wiki.local/page", "folder://handbook/a_(b).md"}
EVIL = re.compile(
    r"https?://(?!wiki\.local/page(?:[\s)>.,;:!?\"'*_`|\]]|\Z))\w|(?:\A|[\W_])www\.\w|//evil\.|(?<!/)evil\.[a-z]+/",
    re.IGNORECASE,
)

ATTACKS = [
    "[a](https://evil.example/?q=1)",
    "![a](https://evil.example/x.png)",
    "[![a](https://evil.example/x.png)](https://evil.example/)",
    "[a][ref]\n\n[ref]: https://evil.example/",
    "![a][ref]\n\n[ref]:\n  //evil.example/x 'title'",
    "[ref]\n\n[ref]: <evil.example/x>",
    "<https://evil.example>",
    "<img src=https://evil.example/x>",
    "<a href='//evil.example/x'>a</a>",
    "<svg/onload=fetch('https://evil.example/')>",
    "https://evil.example/x",
    "HTTPS://EVIL.EXAMPLE",
    "www.evil.example",
    "www\\.evil.example",
    "https\\://evil.example",
    "https\\\\://evil.example",
    "https&#58;//evil.example",
    "https&#5&#58;8;//evil.example",
    "https&colon;&sol;&sol;evil.example/x",
    "[a]<b>(https://evil.example)",
    "htt<b>ps://evil.example",
    "[htt](x)[ps](y)://evil.example",
    "[a\nb](https://evil.example)",
    "[a](<https://evil.example/a b>)",
    "[a](https://wiki.local/page.evil.example)",
    "[a](https://wiki.local/page?q=secret)",
    "https://wiki.local/page?q=secret",
    "https://wiki.local/page)secret",
    "![a](https://wiki.local/page)",
    "!<b>[a](https://evil.example)",
    "[a](javascript:alert(1))",
    "javascript:alert(1)",
    "`[a](https://evil.example)`",
    "```\nhttps://evil.example\n```",
    "[a](//evil.example/x)",
    "evil.example/x?q=1",
    "[" * 50 + "a](https://evil.example)",
    "[" + "a" * (LOOK_AHEAD + 9) + "](https://evil.example)",
    "[a](" + "b" * (LOOK_AHEAD + 9) + "://evil.example)",
    "x" * (LOOK_AHEAD - 3) + "https://evil.example/",
    "\\" * 200 + "[a](https://evil.example)",
    "a@www.evil.example",
    "[1](https://evil.example)",
    "https[:](x)//localhost",
    "www[.](x)evil.example",
    "www[.]()evil.example",
    "https:[/](x)/localhost",
    "http<b>://localhost",
    "<[a](x)>",
    "<[/a](x)>",
    "&#[58;](x)",
    "https&#[58;](x)//localhost",
    "![a]<b>[r](https://evil.example)",
    "[https://evil.example](https://wiki.local/page)",
]


def tokens(text: str) -> Iterator[Token]:
    """Every token a renderer with HTML and references on makes of it."""
    for block in MarkdownIt("commonmark", {"html": True}).parse(text):
        yield block
        yield from block.children or []


def assert_harmless(text: str) -> None:
    for token in tokens(text):
        assert token.type not in {"image", "html_inline", "html_block"}, text
        assert token.type != "text" or not EVIL.search(token.content), text
        if token.type == "link_open":
            assert token.attrs["href"] in ISSUED, text
    assert not EVIL.search(text), text


def in_pieces(text: str, sizes: list[int]) -> str:
    stream, shown = LinkStream(ISSUED), ""
    for size in sizes:
        shown, text = shown + stream.feed(text[:size]), text[size:]
    return shown + stream.feed(text) + stream.finish()


@pytest.mark.parametrize("attack", ATTACKS)
def test_every_form_of_link_is_gone(attack: str) -> None:
    assert_harmless(strip_links(f"Before {attack} after", ISSUED))
    assert_harmless(strip_links(attack, ISSUED))
    assert strip_links(f"Before {attack} after", ISSUED) == in_pieces(f"Before {attack} after", [1] * 2000)


@pytest.mark.parametrize(
    "text",
    [
        "See [Handbook](https://wiki.local/page).",
        "See [file](folder://handbook/a_(b).md), then <https://wiki.local/page>.",
        "See https://wiki.local/page, or not.",
        "It is so [1], [2, 3][4].",
        "Ask hr@example.com about Node.js 2.1, src/app.py and 10.0.0.1/24, e.g. today (at 9:30).",
        "if a < b and b > c: x[i] = 3 | 4 & 5",
        "| A | B |\n|---|---|\n| 1 | *two* |\n\n- [ ] todo\n- **bold** `code` C:\\dir\\file &amp; more",
        "Wow! Really!",
    ],
)
def test_what_is_harmless_stays_as_it_is(text: str) -> None:
    assert strip_links(text, ISSUED) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a [b](https://e.x) c", "a b c"),
        ("a ![b](https://e.x) c", "a b c"),
        ("a [b][r] c", "a b c"),
        ("a [1](https://e.x) c", "a [1] c"),
        ("a https://e.x/y c", "a (link removed) c"),
        ("a <b>b</b> c", "a  b  c"),
        ("Vec<u8>", "Vec< u8>"),
        ("[t](https://wiki.local/page 'see')", "[t](https://wiki.local/page)"),
    ],
)
def test_what_is_left_of_a_link(text: str, expected: str) -> None:
    assert strip_links(text, ISSUED) == expected


def test_without_issued_uris_every_link_goes() -> None:
    assert strip_links("[a](https://wiki.local/page)") == "a"


FRAGMENTS = [
    *"[]()<>!:\\/&;.@#`' \n", "](", "]:", "![", "a", "1", "https", "www", "evil.example", "://", "//", "<b>", "<img ",
    "&#58;", "&amp;", "https://wiki.local/page", "https://evil.example/x", "[t](https://wiki.local/page)", "mailto:",
    "javascript:", "<https://wiki.local/page>", "folder://handbook/a_(b).md", "[r]: ", "data:", "\\\\", "[:](x)",
    "[.](x)", "[/](x)", "[a](", "localhost", "http", "[]()",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from([*FRAGMENTS, *ATTACKS[:34], *ATTACKS[-12:]]), max_size=14).map("".join)


@given(TEXTS, st.lists(st.integers(1, 9), max_size=40))
@example("![a](https://evil.example/x.png)", [1] * 40)
def test_any_split_gives_the_same_and_nothing_harmful(text: str, sizes: list[int]) -> None:
    whole = strip_links(text, ISSUED)
    assert in_pieces(text, sizes) == whole
    assert_harmless(whole)


@pytest.mark.parametrize(
    "text", ["[" * 9000, "[a](" * 3000, "\\" * 9000, "<a " * 4000, "&" * 9000, "w" * 9000, "](" * 4000]
)
def test_what_is_held_back_is_bounded(text: str) -> None:
    stream, shown = LinkStream(ISSUED), 0
    for at in range(0, len(text), 500):
        shown += len(stream.feed(text[at : at + 500]))
        assert len(stream._buffer) + len(stream._normaliser._held) <= 2 * LOOK_AHEAD
    assert shown > 0 or set(text) == {"\\"}
