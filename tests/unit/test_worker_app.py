"""What workers tell the broker, and how retries spread."""

from __future__ import annotations

import pytest

from core.errors import SettingError
from core.jobs import backoff_s
from core.settings import Settings
from workers.app import GRACE_S, QUEUES, VISIBILITY_S, make_app, queue_names
from workers.waker import celery_waker


def settings(url: str | None) -> Settings:
    return Settings(_env_file=None, broker_url=url)


def test_a_worker_holds_one_message_and_gives_it_back_when_it_dies() -> None:
    conf = make_app(settings("amqp://127.0.0.1//")).conf
    assert (conf.worker_prefetch_multiplier, conf.task_acks_late, conf.task_reject_on_worker_lost) == (1, True, True)
    assert (conf.task_serializer, conf.accept_content, conf.result_backend) == ("json", ["json"], None)


def test_redis_hands_nothing_out_again_that_may_still_be_worked_at() -> None:
    conf = make_app(settings("redis://127.0.0.1/0")).conf
    assert conf.broker_transport_options == {"visibility_timeout": VISIBILITY_S}
    assert conf.task_time_limit < VISIBILITY_S


@pytest.mark.parametrize("stage", sorted(set(QUEUES) - {"sweep"}))
def test_a_stage_is_woken_in_its_queue_and_within_its_time(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(settings("memory://"), prefix="t.")
    sent: list[tuple[list[str], str, int, int]] = []

    def send(_name: str, args: list[str], queue: str, time_limit: int, soft_time_limit: int, **_: object) -> None:
        sent.append((args, queue, time_limit, soft_time_limit))

    monkeypatch.setattr(app, "send_task", send)
    celery_waker(app)(stage)
    [(args, queue, hard, soft)] = sent
    assert ([stage], "t." + QUEUES[stage]) == (args, queue)
    assert [queue] == queue_names(app, [stage])
    assert hard == soft + GRACE_S < VISIBILITY_S


def test_long_stages_have_queues_of_their_own() -> None:
    assert len({QUEUES[stage] for stage in ("list", "parse", "encode", "place")}) == 4


def test_without_a_broker_it_says_what_to_set() -> None:
    with pytest.raises(SettingError, match="AMBIT_BROKER_URL"):
        make_app(settings(None))


def test_tries_wait_twice_as_long_each_time_and_never_all_at_once() -> None:
    for attempt, full in ((1, 2.0), (2, 4.0), (5, 32.0), (40, 3600.0)):
        waits = [backoff_s(attempt, 2.0) for _ in range(200)]
        assert full / 2 <= min(waits) < max(waits) <= full
        assert len(set(waits)) > 100
