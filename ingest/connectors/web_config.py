"""What a website source is told: where it begins, what belongs to it, and how politely it is read."""

from __future__ import annotations

import hashlib
from typing import Annotated
from urllib.parse import unquote

import httpx
from pydantic import AfterValidator, Field

from core.errors import AmbitError
from core.outbound import checked_url, origin
from ingest.connectors.globs import matches
from ingest.connectors.rules import AccessRule, Glob
from ingest.connectors.secret_ref import SecretRef
from ingest.connectors.web_page import normal
from ingest.model import ConnectorConfig


def _address(text: str) -> str:
    try:
        checked_url(text)
    except AmbitError as error:
        raise ValueError(error.detail) from None
    return normal(text) or text


Address = Annotated[str, AfterValidator(_address)]


class WebConfig(ConnectorConfig):
    """A part of one website."""

    prefix: Address = Field(description="Address that all pages begin with; nothing outside is read.")
    sitemap: Address | None = Field(None, description="Sitemap whose pages are read; absent: links are followed.")
    start: list[Address] = Field([], description="Pages to begin at; absent: `prefix`.")
    include: list[Glob] = Field(["**"], description="Patterns of paths below `prefix` that are taken.")
    exclude: list[Glob] = Field([], description="Patterns of paths below `prefix` that are neither taken nor followed.")
    rules: list[AccessRule] = Field([], description="Access by path below `prefix`; the last rule that matches holds.")
    headers: dict[str, str | SecretRef] = Field({}, description="Sent to this site only; values may be secrets.")
    queries: bool = Field(default=False, description="Follow links with a query (`?page=2`); they may have no end.")
    robots: bool = Field(default=True, description="Obey robots.txt; `false` only for a site of your own.")
    max_pages: int = Field(2000, ge=1, le=20_000, description="Most pages that are asked for.")
    max_depth: int = Field(20, ge=0, le=1000, description="Most links from a start page.")
    delay_s: float = Field(0.1, ge=0, le=60, description="Least seconds between two requests.")
    timeout_s: float = Field(30.0, gt=0, le=600, description="Seconds that one request may take.")

    @property
    def fingerprint(self) -> str:
        """Changes when what is read does; a cursor of another configuration starts over."""
        shape = self.model_dump_json(exclude={"rules", "delay_s", "timeout_s"})
        return hashlib.blake2b(shape.encode(), digest_size=8).hexdigest()

    @property
    def access_fingerprint(self) -> str:
        """Changes when any page's access may."""
        return hashlib.blake2b(self.model_dump_json().encode(), digest_size=8).hexdigest()

    def within(self, url: str) -> bool:
        """Whether an address is below the prefix, also as a server reads it that decodes `%2e%2e`."""
        if origin(url) != origin(self.prefix):
            return False
        path, base = httpx.URL(url).path, httpx.URL(self.prefix).path
        if any(unquote(part) in (".", "..") for part in unquote(path).replace("\\", "/").split("/")):
            return False
        return path == base or path.startswith(base if base.endswith("/") else f"{base}/")

    def below(self, url: str) -> str:
        """The path of an address below the prefix, decoded as rules see it."""
        return httpx.URL(url).path.removeprefix(httpx.URL(self.prefix).path).lstrip("/")

    def follows(self, url: str) -> bool:
        """Whether a page that is linked to is asked for."""
        return (
            self.within(url)
            and (self.queries or not httpx.URL(url).query)
            and not matches(self.below(url), self.exclude)
        )

    def takes(self, url: str) -> bool:
        """Whether a page becomes a document."""
        return matches(self.below(url), self.include) and not matches(self.below(url), self.exclude)
