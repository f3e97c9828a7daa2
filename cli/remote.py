"""Asking a server over HTTP: the one that holds this data folder, or one named by `AMBIT_URL` and `AMBIT_KEY`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli.serving import LOCAL_PREFIX, Serving
from core import errors
from core.errors import AmbitError, SettingError, UnavailableError

if TYPE_CHECKING:
    from cli.asking import Asked
    from core.settings import Settings


def ask_local(serving: Serving, what: str, asked: Asked, timeout_s: float) -> dict[str, Any]:
    """`what` is `ask` or `search`.

    Raises:
        AmbitError: as the server says, or it does not answer.
    """
    body = {"query": asked.query, "user": asked.user, "top_k": asked.top_k, "model": asked.model}
    return _post(f"{serving.url}{LOCAL_PREFIX}/{what}", body, {"X-Ambit-Local": serving.token}, timeout_s)


def ask_public(settings: Settings, what: str, asked: Asked, timeout_s: float) -> dict[str, Any]:
    """Through the public API, with the rights that the key's app has.

    Raises:
        SettingError: the key is missing.
        AmbitError: as the server says, or it does not answer.
    """
    if settings.key is None:
        raise SettingError(
            "url is set and key is not: looked for AMBIT_KEY in the environment and .env, and key in ambit.toml"
        )
    headers = {"Authorization": f"Bearer {settings.key.get_secret_value()}", "X-Ambit-User": asked.user}
    body: dict[str, Any] = {"query": asked.query}
    if asked.top_k is not None:
        body["top_k"] = asked.top_k
    if asked.model is not None:
        body["model"] = asked.model
    path = "/v1/query" if what == "ask" else "/v1/retrieve"
    return {"user": asked.user, **_post(str(settings.url).rstrip("/") + path, body, headers, timeout_s)}


def _post(url: str, body: dict[str, Any], headers: dict[str, str], timeout_s: float) -> dict[str, Any]:
    import httpx

    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    try:
        with httpx.Client(timeout=timeout_s, trust_env=False) as client:
            response = client.post(url, json=body, headers=encoded)
        told = response.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise UnavailableError(f"{url} does not answer ({type(error).__name__}); is the server running?") from None
    if response.is_success and isinstance(told, dict):
        return told
    raise _told(told if isinstance(told, dict) else {}, response.status_code)


def _told(problem: dict[str, Any], status: int) -> AmbitError:
    """The error of ours that the server named, so that its code is shown."""
    code, detail = problem.get("code"), str(problem.get("detail") or f"the server answered {status}")
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, AmbitError)]
    kind = next((one for one in kinds if one.code == code), UnavailableError if status >= 500 else errors.InvalidError)
    return kind(detail)
