"""What a question must be before anything is done for it."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

from core.errors import InvalidError
from core.settings import Settings
from retrieve.model import Question, Shape
from retrieve.rewriting import rewrite

_NEIGHBOURS_MAX = 8000
_DAYS_MAX = 36_500.0


def checked(settings: Settings, question: Question) -> Question:
    """The question as it is searched: control characters are spaces, and what it leans on is carried over.

    Raises:
        InvalidError: it is empty or too long, or a number is out of range; the fields are named.
    """
    if len(question.text) > settings.query_max_chars:
        raise _invalid("query", f"has {len(question.text)} characters; {settings.query_max_chars} are allowed")
    text = clean(question.text)
    if not any(map(_is_seen, text)):
        raise _invalid("query", "is empty; ask something")
    if not 1 <= question.top_k <= settings.top_k_max:
        raise _invalid("top_k", f"is {question.top_k}; it may be 1 to {settings.top_k_max}")
    _check_shape(question.shape)
    history = [clean(one[: settings.query_max_chars]) for one in question.history]
    return replace(question, text=rewrite(text, history, longest=settings.query_max_chars))


def _is_seen(letter: str) -> bool:
    """Whether it is neither a space nor a sign that only shapes others, such as a joiner of no width."""
    return unicodedata.category(letter) not in {"Cc", "Cf", "Zs", "Zl", "Zp"}


def clean(text: str) -> str:
    """`text` without control characters and outer space."""
    kept = "".join(" " if unicodedata.category(letter) == "Cc" else letter for letter in text)
    return kept.strip()


def _check_shape(shape: Shape) -> None:
    for name in ("per_document", "per_source"):
        most = getattr(shape, name)
        if most is not None and most < 1:
            raise _invalid(name, f"is {most}; it must be at least 1")
    if not 0 <= shape.neighbour_tokens <= _NEIGHBOURS_MAX:
        raise _invalid("neighbour_tokens", f"is {shape.neighbour_tokens}; it may be 0 to {_NEIGHBOURS_MAX}")
    if shape.recency_days is not None and not 0 < shape.recency_days <= _DAYS_MAX:
        raise _invalid("recency_days", f"is {shape.recency_days}; it must be above 0 and at most {_DAYS_MAX:.0f}")


def _invalid(name: str, message: str) -> InvalidError:
    return InvalidError(f"{name} {message}", errors=[{"field": name, "message": message}])
