"""From bytes to structure: `parse` runs in a parser process, `sandbox.ParserPool` runs it there."""

from ingest.parsing.limits import Limits
from ingest.parsing.parse import parse, parsed_from_elements

__all__ = ["Limits", "parse", "parsed_from_elements"]
