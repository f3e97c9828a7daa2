"""Personal data in a text, by form and check digits; counted by kind, and the values forgotten at once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module

_CUE_REACH = 48
"""Characters before a number in which a word must stand for forms that a random number often has too."""
_TAIL = 24
_FIGURES = re.compile(r"\d[\d .,()/+-]{5,}")
"""What the forms of mere numbers have in common: most of a text has nothing like it and is not searched for them."""


@dataclass(frozen=True, slots=True)
class _NationalId:
    """A country's number for a person.

    Attributes:
        form: how it is written.
        module: of `stdnum`, whose `is_valid` checks its digits.
        cue: a word that must stand before it, where one in ten random numbers would pass the check; None: no need.
    """

    kind: str
    form: str
    module: str
    cue: str | None = None


_NATIONAL = (
    _NationalId("id_be", r"\d{2}\.?\d{2}\.?\d{2}[-. ]?\d{3}[-. ]?\d{2}", "be.nn"),
    _NationalId("id_br", r"\d{3}\.\d{3}\.\d{3}-\d{2}", "br.cpf"),
    _NationalId("id_ch", r"756[. ]?\d{4}[. ]?\d{4}[. ]?\d{2}", "ch.ssn"),
    _NationalId("id_de", r"\d{2} ?\d{3} ?\d{3} ?\d{3}", "de.idnr", r"steuer|identifikation|idnr|tax"),
    _NationalId("id_dk", r"\d{6}-\d{4}", "dk.cpr", r"cpr|personnummer"),
    _NationalId("id_es", r"[0-9XYZ]\d{7}-?[A-Z]", "es.nie"),
    _NationalId("id_es", r"\d{8}-?[A-Z]", "es.dni"),
    _NationalId("id_fi", r"\d{6}[-+A]\d{3}[0-9A-Z]", "fi.hetu"),
    _NationalId("id_fr", r"[12] ?\d{2} ?\d{2} ?\d[0-9AB] ?\d{3} ?\d{3} ?\d{2}", "fr.nir"),
    _NationalId("id_it", r"[A-Z]{6}\d{2}[A-Z]\d{2}[A-Z]\d{3}[A-Z]", "it.codicefiscale"),
    _NationalId("id_nl", r"\d{4}[. ]?\d{2}[. ]?\d{3}", "nl.bsn", r"bsn|burgerservice|sofi"),
    _NationalId("id_pl", r"\d{11}", "pl.pesel", r"pesel"),
    _NationalId("id_pt", r"\d{9}", "pt.nif", r"nif|contribuinte"),
    _NationalId("id_se", r"(?:\d{2})?\d{6}[-+]\d{4}", "se.personnummer"),
    _NationalId("id_us", r"\d{3}-\d{2}-\d{4}", "us.ssn"),
)
_EMAIL = re.compile(r"(?<![\w.+-])[\w+-][\w.+-]{0,63}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")
_CARD = re.compile(r"(?<![\w.])[3-6](?:[ -]?\d){12,18}(?![\w.]?\d)")
_CARD_FORM = re.compile(r"3[47]\d{13}|4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2[2-7]\d{14}|6\d{15,18}|3[0689]\d{12,14}")
_PHONE = re.compile(r"(?<![\w+])(?<!\d )(?:\+|00)[1-9](?:[ ./-]?\(?\d\)?){6,13}(?!\d)")
_LOCAL_PHONE = re.compile(
    r"\b(?:tel|phone|telephone|telefon|t\u00e9l\u00e9phone|mobile|mobil|fax|cell)\b"
    r"[.: ]{0,3}\(?\d(?:[ ./()-]{0,2}\d){5,13}",
    re.IGNORECASE,
)

_Found = list[tuple[int, int, str]]
_Finder = Callable[[str], _Found]
KINDS = tuple(sorted({"card", "email", "iban", "phone", *(one.kind for one in _NATIONAL)}))
"""Every kind that is looked for."""


def personal_data(text: str) -> dict[str, int]:
    """How many different values of each kind the text holds; kinds without one are left out."""
    counts = _counted(text, _written_finders())
    counts.update(_counted(_around_figures(text), _number_finders()))
    return {kind: count for kind, count in sorted(counts.items()) if count}


def _counted(text: str, finders: Sequence[tuple[str, _Finder]]) -> Counter[str]:
    """Different values by kind; a stretch of text belongs to the first that claims it."""
    taken: list[tuple[int, int]] = []
    counts: Counter[str] = Counter()
    for kind, find in finders if text else ():
        found = [one for one in find(text) if not any(one[0] < stop and one[1] > begin for begin, stop in taken)]
        taken.extend((start, end) for start, end, _ in found)
        counts[kind] += len({value for _, _, value in found})
    return counts


def _around_figures(text: str) -> str:
    """The parts of a text that hold figures, each with what stands around them, on lines of their own."""
    parts: list[str] = []
    begin, stop = 0, -1
    for one in _FIGURES.finditer(text):
        if one.start() - _CUE_REACH > stop:
            parts.append(text[begin : max(stop, 0)])
            begin = max(one.start() - _CUE_REACH, 0)
        stop = one.end() + _TAIL
    return "\n".join([*parts, text[begin : max(stop, 0)]]).strip()


@cache
def _written_finders() -> tuple[tuple[str, _Finder], ...]:
    """Kinds that letters belong to."""
    from stdnum import iban

    return (
        ("email", lambda text: _matches(_EMAIL, text) if "@" in text else []),
        ("iban", lambda text: [one for one in _matches(_IBAN, text) if iban.is_valid(one[2], check_country=False)]),
        *((one.kind, _national(one)) for one in _NATIONAL if one.form.startswith("[A-Z]")),
    )


@cache
def _number_finders() -> tuple[tuple[str, _Finder], ...]:
    """Kinds that are mostly digits, in the order in which they claim a stretch of text."""
    from stdnum import luhn

    def card(value: str) -> bool:
        digits = re.sub(r"\D", "", value)
        return _CARD_FORM.fullmatch(digits) is not None and bool(luhn.is_valid(digits))

    return (
        *((one.kind, _national(one)) for one in _NATIONAL if not one.form.startswith("[A-Z]")),
        ("card", lambda text: [one for one in _matches(_CARD, text) if card(one[2])]),
        ("phone", lambda text: [*_matches(_PHONE, text), *_matches(_LOCAL_PHONE, text)]),
    )


def _matches(form: re.Pattern[str], text: str) -> _Found:
    return [(one.start(), one.end(), one.group()) for one in form.finditer(text)]


def _national(one: _NationalId) -> _Finder:
    form = re.compile(rf"(?<![\w.-])(?:{one.form})(?![\w-]|\.\d)")
    cue = re.compile(one.cue, re.IGNORECASE) if one.cue else None
    check: Callable[[str], bool] = import_module(f"stdnum.{one.module}").is_valid

    def find(text: str) -> _Found:
        found = [each for each in _matches(form, text) if check(each[2])]
        return [each for each in found if cue is None or cue.search(text, max(0, each[0] - _CUE_REACH), each[0])]

    return find
