"""Mail threads: a reply is told apart from what it quotes, each earlier mail with who wrote it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email.message import EmailMessage

import pytest

from ingest.model import Content, Parsed
from ingest.parsing.limits import Limits
from ingest.parsing.parse import parse
from ingest.parsing.pdf import _date
from ingest.parsing.rows import table_kinds
from ingest.parsing.thread import unquoted
from ingest.splitting import split
from tests.factories.files import make_pdf
from tests.factories.tokenizer import minilm_tokenizer

THREAD = """\
We take the second offer.

Ana

On Mon, 12 Oct 2026 at 09:14, Bob Quillon
<bob@example.com> wrote:

> The first offer is 4,200, the second 3,900.
>
> Bob
>
> On Fri, 9 Oct 2026 at 17:40, Cara Dunmore <cara@example.com> wrote:
>> Which offers did we get for the valves?
"""
OUTLOOK = """\
Agreed.

-----Original Message-----
From: Bob Quillon
Sent: Monday, October 12, 2026 9:14 AM
To: Ana Ferrelo
Subject: Offers

The second offer is 3,900.
"""


GMAIL = """\
<div dir="ltr">We take the second offer.<br><br>Ana</div><br><div class="gmail_quote">
<div class="gmail_attr">On Mon, 12 Oct 2026 at 09:14, Bob Quillon
&lt;<a href="mailto:b@x">bob@example.com</a>&gt; wrote:<br></div>
<blockquote><h1>Prices</h1><table><tr><th>Offer</th><th>Price</th></tr><tr><td>first</td><td>4,200</td></tr></table>
<div>On Fri, 9 Oct 2026 at 17:40, Cara Dunmore wrote:</div>
<blockquote><ul><li>Which offers did we get?</li></ul></blockquote></blockquote></div>
"""
WORD = """\
<div><p>Agreed.</p><div style="border-top:solid 1pt"><p><b>From:</b> Bob Quillon<br>
<b>Sent:</b> Monday, October 12, 2026 9:14 AM<br>
<b>To:</b> Ana Ferrelo<br><b>Subject:</b> Offers</p></div><p>The second offer is 3,900.</p></div>
"""


def of_html(body: str) -> Parsed:
    message = EmailMessage()
    message["Subject"], message["From"] = "Re: Offers", "Ana <ana@example.com>"
    message.set_content(body, subtype="html")
    return parse(Content("a.eml", body=message.as_bytes()), Limits())


def parsed(text: str, **headers: str) -> Parsed:
    message = EmailMessage()
    for name, value in {"Subject": "Re: Offers", "From": "Ana <ana@example.com>", **headers}.items():
        message[name.replace("_", "-")] = value
    message.set_content(text)
    return parse(Content("a.eml", body=message.as_bytes()), Limits())


def sections(document: Parsed) -> list[tuple[str, str]]:
    """Heading and text of each element after the headers."""
    found, heading = [], ""
    for one in document.elements[1:]:
        if one.kind == "heading":
            heading = one.text
        else:
            found.append((heading, one.text))
    return found


def test_each_earlier_mail_stands_under_who_wrote_it() -> None:
    bob = "Earlier: On Mon, 12 Oct 2026 at 09:14, Bob Quillon <bob@example.com> wrote"
    cara = "Earlier: On Fri, 9 Oct 2026 at 17:40, Cara Dunmore <cara@example.com> wrote"
    assert sections(parsed(THREAD)) == [
        ("", "We take the second offer."),
        ("", "Ana"),
        (bob, "The first offer is 4,200, the second 3,900."),
        (bob, "Bob"),
        (cara, "Which offers did we get for the valves?"),
    ]


def test_a_chunk_of_an_earlier_mail_says_whose_it_is() -> None:
    text = THREAD.replace("The first offer is 4,200, the second 3,900.", "The offer of the first firm is high. " * 40)
    chunks = split(parsed(text), minilm_tokenizer(), max_tokens=60)
    assert all("Bob Quillon" in one.context for one in chunks if "offer of the first firm" in one.text)
    assert all("Earlier" not in one.context for one in chunks if "We take the second" in one.text)


def test_the_header_block_of_outlook_stays_with_the_mail_it_heads() -> None:
    found = sections(parsed(OUTLOOK))
    assert found[0] == ("", "Agreed.")
    assert [heading for heading, _ in found[1:]] == ["Earlier: From: Bob Quillon"] * 2
    assert found[1][1].startswith("From: Bob Quillon\nSent: Monday, October 12, 2026 9:14 AM")
    assert found[2][1] == "The second offer is 3,900."


@pytest.mark.parametrize(
    "text",
    [
        "On Monday Bob wrote:\n> Is it 4,200?\nYes.\n> And the other?\n3,900.",
        "> Is it 4,200?\nYes, it is.",
        "From: the valve to the pump it is 3 m.\nNothing else.",
        "On Monday he wrote: nothing.",
        "> only a quote",
    ],
)
def test_answers_between_quotes_stay_with_what_they_answer(text: str) -> None:
    assert unquoted(text) == (text, [])


@pytest.mark.parametrize("text", [THREAD, OUTLOOK])
def test_no_word_is_lost(text: str) -> None:
    def words(all_of: str) -> set[str]:
        return {word.rstrip(":") for word in all_of.replace(">", " ").split()} - {"-----Original", "Message-----"}

    assert words(text) <= words(" ".join(one.text for one in parsed(text).elements))


def test_the_history_of_a_mail_in_html_is_told_apart_and_its_tables_stay() -> None:
    bob = "Earlier: On Mon, 12 Oct 2026 at 09:14, Bob Quillon <bob@example.com> wrote"
    cara = "Earlier: On Fri, 9 Oct 2026 at 17:40, Cara Dunmore wrote"
    assert [(one.kind, one.level, one.text) for one in of_html(GMAIL).elements[1:]] == [
        ("text", 0, "We take the second offer.\nAna"),
        ("heading", 1, bob),
        ("heading", 2, "Prices"),
        ("table", 0, "first | 4,200"),
        ("heading", 1, cara),
        ("list", 0, "- Which offers did we get?"),
    ]


def test_the_header_block_of_outlook_in_html_opens_an_earlier_mail() -> None:
    found = sections(of_html(WORD))
    assert [heading for heading, _ in found] == ["", *["Earlier: From: Bob Quillon"] * 2]
    assert found[1][1].startswith("From: Bob Quillon\nSent: Monday, October 12, 2026 9:14 AM")


@pytest.mark.parametrize(
    "body",
    [
        "<p>On Monday Bob wrote:</p><blockquote>Is it 4,200?</blockquote><p>Yes.</p><blockquote>And?</blockquote>3",
        "<blockquote>only a quote</blockquote>",
        "<p>He said:</p><blockquote>all of it</blockquote><p>and I agree.</p>",
    ],
)
def test_what_html_quotes_within_a_reply_stays_in_it(body: str) -> None:
    assert all(one.kind == "text" for one in of_html(body).elements)


def test_where_html_names_nobody_its_last_quote_is_an_earlier_mail() -> None:
    body = "<p>Yes.</p><blockquote><p>Is it 4,200?</p></blockquote>"
    assert sections(of_html(body)) == [("", "Yes."), ("Earlier", "Is it 4,200?")]
    twice = "<p>Yes.<br>-----Original Message-----<br>From: Bob<br>Sent: Monday</p><p>Is it?</p>"
    assert [heading for heading, _ in sections(of_html(twice))] == ["", *["Earlier: From: Bob"] * 2]


def test_quotes_in_quotes_without_end_are_read_in_one_pass() -> None:
    body = "<p>own</p>" + "<blockquote>" * 200 + "x<br>" * 20_000 + "</blockquote>" * 200
    assert [one.kind for one in of_html(body).elements] == ["text", "text", "heading", "text"]


@pytest.mark.parametrize(
    ("headers", "thread"),
    [
        ({"Message_ID": "<1@x>"}, "1@x"),
        ({"Message_ID": "<2@x>", "In_Reply_To": "<1@x>"}, "1@x"),
        ({"Message_ID": "<3@x>", "In_Reply_To": "<2@x>", "References": "<1@x> <2@x>"}, "1@x"),
        ({}, None),
    ],
)
def test_mails_of_a_thread_name_its_first(headers: dict[str, str], thread: str | None) -> None:
    assert parsed("text", **headers).attributes.get("thread") == thread


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("D:20211029061033-04'00'", datetime(2021, 10, 29, 6, 10, 33, tzinfo=timezone(timedelta(hours=-4)))),
        ("D:20211029061033Z", datetime(2021, 10, 29, 6, 10, 33, tzinfo=UTC)),
        ("D:2021", datetime(2021, 1, 1, tzinfo=UTC)),
        ("D:20211399", None),
        ("yesterday", None),
        ("D:20211029061033+99'00'", None),
    ],
)
def test_dates_of_pdf(text: str, moment: datetime | None) -> None:
    assert _date(text) == moment


def test_a_pdf_has_the_date_that_it_states() -> None:
    found = parse(Content("a.pdf", body=make_pdf([["Some text of the page"]])), Limits()).modified_at
    assert found is not None
    assert abs(datetime.now(UTC) - found) < timedelta(days=2)


@pytest.mark.parametrize(
    ("meta", "moment"),
    [
        ('<meta property="og:updated_time" content="2026-10-12T07:14Z">', datetime(2026, 10, 12, 7, 14, tzinfo=UTC)),
        ('<meta name="date" content="2026-10-12">', datetime(2026, 10, 12, tzinfo=UTC)),
        (
            '<meta name="date" content="2020-01-01"><meta itemprop="dateModified" content="2026-10-12">',
            datetime(2026, 10, 12, tzinfo=UTC),
        ),
        ('<meta name="date" content="last week">', None),
    ],
)  # fmt: skip
def test_a_page_has_the_date_of_its_last_change(meta: str, moment: datetime | None) -> None:
    page = f"<html><head>{meta}</head><body><p>Soup on Mondays</p></body></html>"
    assert parse(Content("a.html", body=page.encode()), Limits()).modified_at == moment


@pytest.mark.parametrize(
    "lines",
    [
        ["1 " * 20_000 + "x"],
        ["$ 1 % " * 10_000 + "x"],
        ["(1) % " * 10_000],
    ],
)
def test_a_line_of_any_length_is_looked_at_once(lines: list[str]) -> None:
    """A pattern that could match in two ways would take 2 to the power of the figures."""
    assert table_kinds(lines, ["text"], 80)[0] in {"text", "row"}


def test_a_mail_of_many_quotes_is_read_in_one_pass() -> None:
    text = "On x wrote:\n> a\nb\n" * 20_000
    assert unquoted(text) == (text, [])
