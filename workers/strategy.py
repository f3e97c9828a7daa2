"""What a worker does with a message before any task sees it: one that is no task's is refused, and stops nobody.

Celery's own handler ends the whole worker at a body that is JSON but no message, such as `null`; as the message is then
handed out again, every worker in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery.exceptions import InvalidTaskError
from celery.worker.strategy import default

Handler = Callable[..., Any]


def checked(task: Any, app: Any, consumer: Any, **options: Any) -> Handler:
    """Celery's handler for messages that are arguments, keyword arguments and options; others are refused."""
    handle: Handler = default(task, app, consumer, **options)

    def handle_checked(message: Any, body: Any, *arguments: Any, **named: Any) -> Any:
        consumer.watch(message)
        if not _is_call(message.payload):
            raise InvalidTaskError("a message that is no call")
        return handle(message, body, *arguments, **named)

    return handle_checked


def _is_call(payload: Any) -> bool:
    if not isinstance(payload, list) or len(payload) != 3:
        return False
    positional, named, options = payload
    return isinstance(positional, list) and isinstance(named, dict) and isinstance(options, dict)
