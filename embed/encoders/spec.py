"""How an encoder is named: `MODEL`, `openai:MODEL` or `llamaindex:CLASS`, with options as in `MODEL?name=value&…`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import parse_qsl

from core.errors import SettingError

Kind = Literal["local", "openai", "llamaindex"]
PROMPTS = frozenset({"query_prompt", "passage_prompt"})
COUNTING = frozenset({"max_tokens", "tokenizer"})
_OPTIONS: Mapping[str, frozenset[str]] = {
    "local": PROMPTS,
    "openai": PROMPTS | COUNTING | {"url", "dimensions", "batch"},
}


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """An encoder as a setting or a generation names it.

    The whole of what decides its vectors stands in the name, so that two generations may differ in any of it.

    Attributes:
        model: name or folder, the endpoint's name of a model, or the import path of a class.
        options: those of the kind; for `llamaindex` also the class's arguments.
    """

    kind: Kind
    model: str
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> EncoderSpec:
        """The encoder of that name.

        Raises:
            SettingError: an option is unknown or not written `name=value`.
        """
        prefix, colon, rest = text.partition(":")
        kind: Kind = prefix if colon and prefix in get_args(Kind)[1:] else "local"  # type: ignore[assignment]
        model, mark, query = (text if kind == "local" else rest).partition("?")
        try:
            options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True)) if mark else {}
        except ValueError:
            raise SettingError(f"encoder {model!r}: options are written ?name=value&name=value") from None
        _check(kind, model, options)
        return cls(kind, model, options)

    def number(self, name: str, default: int) -> int:
        """A whole number above 0 among the options.

        Raises:
            SettingError: it is not one.
        """
        stated = self.options.get(name)
        if stated is None:
            return default
        if not stated.isdigit() or int(stated) < 1:
            raise SettingError(f"encoder {self.model!r}: {name} is {stated!r}; it must be a whole number above 0")
        return int(stated)


def canonical(text: str) -> str:
    """The same name for the same encoder: a folder by its full path, a model without its publisher's default prefix."""
    spec = EncoderSpec.parse(text)
    if spec.kind != "local":
        return text
    _, mark, query = text.partition("?")
    folder = Path(spec.model).expanduser()
    model = str(folder.resolve()) if folder.is_dir() else spec.model.removeprefix("sentence-transformers/")
    return model + mark + query


def _check(kind: Kind, model: str, options: Mapping[str, str]) -> None:
    known = _OPTIONS.get(kind)
    unknown = sorted(set(options) - known) if known is not None else []
    if unknown:
        raise SettingError(
            f"encoder {model!r} has no option {unknown[0]!r}; there are {', '.join(sorted(known or ()))}"
        )
    if not model:
        raise SettingError(f"the encoder's name says {kind} and no model")
