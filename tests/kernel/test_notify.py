"""The outbox and its delivery on both databases: once, in one message, at its hour, again until it is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from tests.kernel.notify_world import PATH_TOKEN, SECRET, Clock, Webhook, free_port, webhook, with_settings
from uwu.kernel import codec, notify, sensitive, tables
from uwu.kernel.db import upsert
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.notify import Notice, deliver, notices, routes
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import ChannelSettings, NotifySettings

PAYMENTS, SEARCH = "group:default/payments", "group:default/search"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as made:
        yield made


@pytest.fixture
def open_(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Kernel]]:
    """Opens kernels of the same database under other settings."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    with ExitStack() as stack:

        def make(**settings: Any) -> Kernel:
            made = with_settings(kernel, settings)
            stack.callback(made.close)
            return made

        yield make


def notice(id: str = "f_1", **over: Any) -> Notice:
    given = {
        "kind": "finding.opened",
        "subject": id,
        "owner": PAYMENTS,
        "severity": "high",
        "title": f"queue {id} is not as declared",
        "detail": {"changed by": "mira.k"},
        "path": f"/findings/{id}",
        "dedupe": f"opened:{id}",
    }
    return Notice(**{**given, **over})


def tell(kernel: Kernel, *told: Notice) -> None:
    with kernel.db.write() as connection:
        notify.tell(connection, *told)


def states(kernel: Kernel) -> dict[tuple[str, str], str]:
    """(subject, channel) -> status."""
    with kernel.db.read() as connection:
        page = notices.notices(connection, limit=500)
    return {(row.notice.subject, d.channel): d.status for row in page.items for d in row.deliveries}


def titles(hook: Webhook) -> list[list[str]]:
    return [[one["title"] for one in message["notices"]] for message in hook.messages()]


def entity(kernel: Kernel, ref: str, *, annotations: dict[str, str] | None = None, email: str = "") -> None:
    kind, _, rest = ref.partition(":")
    now = codec.now()
    row = {
        "ref": ref, "kind": kind, "namespace": "default", "name": rest.partition("/")[2], "api_version": "v1",
        "metadata": {"name": ref, "annotations": annotations or {}}, "spec": {"profile": {"email": email}},
        "file": "a.yaml", "line": 1, "origin": "estate", "hash": "", "orphan": False,
        "first_seen": now, "last_seen": now,
    }  # fmt: skip
    with kernel.db.write() as connection:
        upsert(connection, tables.entities, [row])


# ---- the outbox


def test_it_is_told_with_the_change_or_not_at_all(kernel: Kernel) -> None:
    with pytest.raises(ZeroDivisionError), kernel.db.write() as connection:
        notify.tell(connection, notice())
        raise ZeroDivisionError
    assert not deliver.is_due(kernel)
    tell(kernel, notice())
    assert deliver.is_due(kernel)


def test_the_same_thing_is_told_once_for_ever(open_: Any, hook: Webhook) -> None:
    kernel = open_(channels={"ops": {"url": hook.url}}, fallback="ops")
    tell(kernel, notice(), notice(), notice(title="said in other words"))
    assert deliver.deliver(kernel) == {"routed": 1, "sent": 1, "waiting": 0, "failed": 0}
    tell(kernel, notice())
    assert deliver.deliver(kernel) == {"routed": 0, "sent": 0, "waiting": 0, "failed": 0}
    assert titles(hook) == [["queue f_1 is not as declared"]]


def test_what_is_told_holds_no_control_character_secret_or_foreign_address(kernel: Kernel) -> None:
    tell(
        kernel,
        notice(
            title="a\r\nBcc: all@acme.example",
            detail={"was": sensitive.fingerprint("hunter2"), "x\ny": "1\x1b[31m"},
            path="//evil.example/x",
        ),
    )
    with kernel.db.read() as connection:
        (row,) = notices.notices(connection).items
    assert row.notice.title == "a  Bcc: all@acme.example"
    assert row.notice.detail == {"was": sensitive.MARK, "x y": "1 [31m"}
    assert row.notice.path == ""
    with pytest.raises(BadInput) as refused:
        tell(kernel, notice(severity="bad"))
    assert refused.value.problem.code == "severity-unknown"


def test_a_list_pages_filters_and_says_what_nobody_was_told(open_: Any, hook: Webhook, clock: Clock) -> None:
    kernel = open_(
        channels={"ops": {"url": hook.url}}, routes=[{"channel": "ops", "owner": PAYMENTS, "severity": "high"}]
    )
    for number in range(5):
        clock.forward(seconds=1)
        tell(kernel, notice(f"f_{number}", owner=PAYMENTS if number % 2 else SEARCH))
    tell(kernel, notice("p_1", kind="plan.waiting", owner=""))
    deliver.deliver(kernel)
    with kernel.db.read() as connection:

        def ask(**by: Any) -> list[str]:
            return [row.notice.subject for row in notices.notices(connection, **by).items]

        first = notices.notices(connection, limit=4)
        rest = notices.notices(connection, limit=4, after=first.after)
        subjects = [row.notice.subject for row in (*first.items, *rest.items)]
        assert sorted(subjects[:2]) == ["f_4", "p_1"] and subjects[2:] == ["f_3", "f_2", "f_1", "f_0"]
        assert (first.total, rest.after) == (6, "")
        assert ask(status="sent") == ["f_3", "f_1"] == ask(channel="ops")
        assert sorted(ask(status="untold")) == ["f_0", "f_2", "f_4", "p_1"]
        assert ask(kind="plan.*") == ["p_1"] == ask(owner="") and ask(kind="finding.opened", owner=SEARCH) == [
            "f_4", "f_2", "f_0",
        ]  # fmt: skip
        assert ask(text="F_3 is") == ["f_3"] and ask(text="%") == []
        with pytest.raises(BadInput):
            ask(after="nowhere")


# ---- routes


def test_owner_kind_and_severity_choose_and_the_fallback_takes_the_rest(open_: Any, hook: Webhook) -> None:
    kernel = open_(
        channels={name: {"url": hook.url} for name in ("pay", "all-plans", "rest")},
        routes=[
            {"channel": "pay", "owner": PAYMENTS, "kinds": ["finding.*"], "severity": "high"},
            {"channel": "all-plans", "kinds": ["plan.waiting"]},
        ],
        fallback="rest",
    )
    tell(
        kernel,
        notice("f_pay"),
        notice("f_low", severity="low"),
        notice("f_search", owner=SEARCH),
        notice("f_nobody", owner=""),
        notice("plan", kind="plan.waiting", severity="info", owner=SEARCH, owners=(PAYMENTS,)),
    )
    routes.route(kernel)
    assert set(states(kernel)) == {
        ("f_pay", "pay"),
        ("f_low", "rest"),
        ("f_search", "rest"),
        ("f_nobody", "rest"),
        ("plan", "all-plans"),
    }


def test_an_owner_chooses_in_the_catalog_and_has_its_own_address(open_: Any, hook: Webhook, caplog: Any) -> None:
    kernel = open_(
        channels={"mail": {"url": "mailto://127.0.0.1", "to_owner": True}, "chat": {"url": hook.url}}, fallback="chat"
    )
    entity(kernel, PAYMENTS, annotations={routes.ANNOTATION: "mail, chat"}, email="payments@acme.example")
    entity(kernel, SEARCH, annotations={routes.ANNOTATION: "pager"}, email="x@y\r\nBcc: all@acme.example")
    tell(kernel, notice("f_pay"), notice("f_search", owner=SEARCH))
    routes.route(kernel)
    with kernel.db.read() as connection:
        rows = connection.execute(sa.select(tables.deliveries.c.channel, tables.deliveries.c.address)).all()
    assert sorted(map(tuple, rows)) == [("chat", ""), ("chat", ""), ("mail", "payments@acme.example")]
    assert "pager" in caplog.text


# ---- when


@pytest.mark.parametrize(
    ("quiet", "zone", "at", "due"),
    [
        ("22:00-07:00", "UTC", "2025-03-10T21:59:00Z", "2025-03-10T21:59:00Z"),
        ("22:00-07:00", "UTC", "2025-03-10T22:00:00Z", "2025-03-11T07:00:00Z"),
        ("22:00-07:00", "UTC", "2025-03-11T06:59:59Z", "2025-03-11T07:00:00Z"),
        ("12:00-13:00", "UTC", "2025-03-10T12:30:00Z", "2025-03-10T13:00:00Z"),
        ("12:00-13:00", "UTC", "2025-03-10T13:00:00Z", "2025-03-10T13:00:00Z"),
        ("22:00-07:00", "Asia/Tokyo", "2025-03-10T14:00:00Z", "2025-03-10T22:00:00Z"),
        # the night in which Berlin's clocks go forward: seven o'clock comes an hour earlier
        ("22:00-07:00", "Europe/Berlin", "2025-03-29T22:00:00Z", "2025-03-30T05:00:00Z"),
        ("22:00-07:00", "Europe/Berlin", "2025-10-25T21:00:00Z", "2025-10-26T06:00:00Z"),
    ],
)
def test_quiet_hours_end_by_the_clock_of_their_zone(quiet: str, zone: str, at: str, due: str) -> None:
    channel = ChannelSettings(url="mailto://x", quiet=quiet, timezone=zone)
    assert routes.after_quiet(channel, codec.parse_time(at)) == codec.parse_time(due)


def test_a_digest_ends_at_the_next_boundary_and_after_quiet_hours() -> None:
    settings, now = NotifySettings(), datetime(2025, 3, 10, 14, 20, tzinfo=UTC)
    hourly = ChannelSettings(url="mailto://x", digest_minutes=60, quiet="15:00-16:30")
    assert routes.due(settings, hourly, "high", now) == datetime(2025, 3, 10, 16, 30, tzinfo=UTC)
    assert routes.due(settings, hourly, "critical", now) == now
    assert routes.due(NotifySettings(critical_at_once=False), hourly, "critical", now) > now


def test_quiet_hours_collect_into_one_message_and_what_is_critical_does_not_wait(
    open_: Any, hook: Webhook, clock: Clock
) -> None:
    kernel = open_(channels={"ops": {"url": hook.url, "quiet": "13:00-15:00"}}, fallback="ops")
    tell(kernel, notice("f_1"), notice("f_2"))
    assert deliver.deliver(kernel)["sent"] == 0 and not deliver.is_due(kernel)
    clock.forward(minutes=30)
    tell(kernel, notice("f_3"), notice("f_now", severity="critical"))
    deliver.deliver(kernel)
    assert titles(hook) == [["queue f_now is not as declared"]]
    clock.forward(minutes=29)
    deliver.deliver(kernel)
    assert len(hook.got) == 1
    clock.forward(minutes=1)
    assert deliver.is_due(kernel)
    deliver.deliver(kernel)
    assert [len(one) for one in titles(hook)] == [1, 3]
    assert hook.messages()[1]["text"] == "3 findings opened"


def test_hundreds_at_once_are_one_message(open_: Any, hook: Webhook) -> None:
    kernel = open_(channels={"ops": {"url": hook.url}}, fallback="ops")
    tell(kernel, *(notice(f"f_{number:03}") for number in range(420)))
    assert deliver.deliver(kernel) == {"routed": 420, "sent": 1, "waiting": 0, "failed": 0}
    (message,) = hook.messages()
    assert message["text"] == "420 findings opened" and len(message["notices"]) == 420


# ---- again until it is taken


def test_a_receiver_that_is_down_gets_the_same_message_when_it_is_back(open_: Any, clock: Clock, hook: Webhook) -> None:
    nobody = f"webhook+http://127.0.0.1:{free_port()}/hooks/{PATH_TOKEN}"
    down = open_(channels={"ops": {"url": nobody}}, fallback="ops")
    tell(down, notice("f_1"))
    assert deliver.deliver(down)["waiting"] == 1
    with down.db.read() as connection:
        (row,) = notices.notices(connection).items
    (first,) = row.deliveries
    assert first.attempts == 1 and "ConnectionRefused" in first.error
    assert clock.now < first.due_at <= clock.now + timedelta(minutes=1)
    up = open_(channels={"ops": {"url": hook.url}}, fallback="ops")
    tell(up, notice("f_2"))
    assert deliver.deliver(up) == {"routed": 1, "sent": 0, "waiting": 0, "failed": 0}, "it is left alone until then"
    clock.forward(minutes=1)
    assert deliver.deliver(up)["sent"] == 2
    assert hook.messages()[0]["id"] == first.digest
    assert set(states(up).values()) == {"sent"}


def test_the_waits_double_and_the_tries_end(open_: Any, clock: Clock, hook: Webhook) -> None:
    kernel = open_(channels={"ops": {"url": hook.url}}, fallback="ops", attempts=4)
    hook.answers = [500] * 4
    tell(kernel, notice())
    waits: list[float] = []
    for _ in range(4):
        deliver.deliver(kernel)
        with kernel.db.read() as connection:
            (row,) = notices.notices(connection).items
        (one,) = row.deliveries
        waits.append((one.due_at - clock.now).total_seconds() / 60)
        clock.now = max(clock.now, one.due_at)
    assert 0.8 <= waits[0] <= 1 and 1.6 <= waits[1] <= 2 and 3.2 <= waits[2] <= 4
    assert one.status == "failed" and one.attempts == 4 and "500" in one.error
    clock.forward(days=1)
    assert deliver.deliver(kernel)["sent"] == 0 and len(hook.got) == 4
    with kernel.db.write() as connection:
        assert deliver.retry(connection, row.notice.id) == 1
    assert deliver.deliver(kernel)["sent"] == 1
    assert len({message["id"] for message in hook.messages()}) == 1, "every try is the same message"
    with kernel.db.write() as connection:
        assert deliver.retry(connection) == 0
        with pytest.raises(NotFound):
            deliver.retry(connection, "n_none")


def test_a_worker_killed_between_sending_and_recording_repeats_one_message_with_its_id(
    open_: Any, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = open_(channels={"ops": {"url": hook.url}}, fallback="ops")
    tell(kernel, notice("f_1"), notice("f_2"))
    routes.route(kernel)
    (id,) = deliver.claim(kernel)

    class Killed(BaseException):
        pass

    def die(*_: Any, **__: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(kernel.db, "write", die)
        deliver.send(kernel, id)
    tell(kernel, notice("f_3"))
    assert deliver.deliver(kernel)["sent"] == 2
    assert [message["id"] for message in hook.messages()][:2] == [id, id]
    assert sorted(len(one) for one in titles(hook)) == [1, 2, 2]
    assert deliver.send(kernel, id) == "gone"


def test_a_channel_that_left_the_settings_fails_with_its_name(open_: Any, hook: Webhook) -> None:
    before = open_(channels={"old": {"url": hook.url}}, fallback="old")
    tell(before, notice())
    routes.route(before)
    after = open_(attempts=1)
    assert deliver.deliver(after)["failed"] == 1
    with after.db.read() as connection:
        (row,) = notices.notices(connection).items
    assert "'old'" in row.deliveries[0].error


# ---- mutes


def test_a_mute_is_silent_until_its_time_and_is_seen(open_: Any, hook: Webhook, clock: Clock) -> None:
    kernel = open_(channels={"ops": {"url": hook.url, "digest_minutes": 10}}, fallback="ops")
    tell(kernel, notice("f_1"))
    routes.route(kernel)
    with kernel.db.write() as connection:
        notify.mute(
            connection, "f_1", until=clock.now + timedelta(hours=1), reason="maintenance", by="user:default/ana"
        )
    tell(kernel, notice("f_1", kind="finding.stale", dedupe="2"), notice("f_2"))
    clock.forward(minutes=20)
    deliver.deliver(kernel)
    clock.forward(minutes=20)
    deliver.deliver(kernel)
    assert titles(hook) == [["queue f_2 is not as declared"]]
    assert states(kernel)[("f_1", "ops")] == "muted"
    clock.forward(minutes=30)
    tell(kernel, notice("f_1", kind="finding.closed", dedupe="3"))
    deliver.deliver(kernel)
    clock.forward(minutes=10)
    assert deliver.deliver(kernel)["sent"] == 1
    with kernel.db.write() as connection:
        notify.unmute(connection, "f_1")
        with pytest.raises(NotFound):
            notify.unmute(connection, "f_1")
        with pytest.raises(BadInput):
            notify.mute(connection, "f_1", until=clock.now, reason="", by="user:default/ana")
