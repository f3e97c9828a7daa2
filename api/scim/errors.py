"""SCIM's errors: one form for all, so that provisioning clients understand them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError

from core.errors import AmbitError

MEDIA_TYPE = "application/scim+json"
PATHS = "/scim/"
_TYPES = {409: "uniqueness", 422: "invalidValue"}
_STATUS = {422: 400}


class ScimError(AmbitError):
    """A SCIM request that is not taken; `scimType` in the answer is RFC 7644's word for it."""

    code = "scim_refused"
    status = 400
    title = "SCIM request not taken"


class ScimUnsupportedError(AmbitError):
    """SCIM has it, Ambit does not: searching several kinds of resources at once."""

    code = "scim_unsupported"
    status = 501
    title = "Not implemented"


def body(error: AmbitError, detail: str) -> tuple[int, dict[str, Any]]:
    """Status and body of an error as RFC 7644, 3.12 has it; `detail` is what may be told."""
    from scim2_models import Error  # as everywhere in this package: it takes long to load (`api.scim`)

    status = _STATUS.get(error.status, error.status)
    kind = error.extra.get("scim_type") or _TYPES.get(error.status)
    return status, Error(status=status, scim_type=kind, detail=detail).model_dump()


@contextmanager
def read_strictly() -> Iterator[None]:
    """Makes what the models say of a request a designed error.

    Raises:
        ScimError: the request does not fit; the message names attributes and never tells values.
    """
    from scim2_models import Error, SCIMException

    try:
        yield
    except SCIMException as error:
        raise ScimError(str(error), scim_type=error.scim_type) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        told = Error.from_validation_error(dict(first))
        where = ".".join(str(one) for one in first["loc"])
        raise ScimError(f"{where}: {first['msg']}" if where else first["msg"], scim_type=told.scim_type) from None
