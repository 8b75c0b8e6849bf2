"""From a change in AWS to a mail and a webhook, through the command line, the API, the pages and a real worker."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta

import pytest

from tests.app.console import world
from tests.app.console.server import client as client_of
from tests.kernel.notify_world import (
    PATH_TOKEN,
    SECRET,
    Mailbox,
    Webhook,
    free_port,
    mailbox,
    wait_until,
    webhook,
)
from uwu.app.cli import run
from uwu.app.client import ApiClient, Embedded
from uwu.kernel import audit, codec, notify, schedules, tables
from uwu.kernel import settings as settings_
from uwu.kernel.notify import deliver
from uwu.kernel.runtime import Kernel
from uwu.kernel.worker import Worker

SETTINGS = """
organization = "Larkspur"
[schedule]
sync_minutes = 0
[http]
public_url = "https://uwu.larkspur.example"
[notify]
fallback = "ops"
finding_severity = "low"
allow_addresses = ["127.0.0.0/8"]
attempts = 1
[notify.channels.ops]
url_env = "OPS_URL"
secret_env = "HOOK_SECRET"
[notify.channels.mail]
url_env = "MAIL_URL"
[notify.channels.down]
url_env = "DOWN_URL"
[[notify.routes]]
channel = "mail"
severity = "critical"
[[notify.routes]]
channel = "down"
kinds = ["plan.*"]
"""


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as made:
        yield made


@pytest.fixture
def mails() -> Iterator[Mailbox]:
    with mailbox() as made:
        yield made


@pytest.fixture
def home(sqlite_kernel: Kernel, hook: Webhook, mails: Mailbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    """The small world behind the console, with three channels, one of which is down."""
    path = sqlite_kernel.settings.home_path
    for name, value in {
        "OPS_URL": hook.url,
        "HOOK_SECRET": SECRET,
        "MAIL_URL": mails.url,
        "DOWN_URL": f"webhook+http://127.0.0.1:{free_port()}/{PATH_TOKEN}",
        "UWU_HOME": str(path),
    }.items():
        monkeypatch.setenv(name, value)
    (path / "uwu.toml").write_text(SETTINGS)
    with ExitStack() as stack:
        made = Kernel(settings_.load(path), (world.WORLD,))
        stack.callback(made.close)
        world.fill(made)
        yield made


def uwu(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = run(list(arguments))
    told = capsys.readouterr()
    return status, told.out + told.err


def test_what_drift_finds_reaches_its_owner_by_mail_and_webhook(home: Kernel, hook: Webhook, mails: Mailbox) -> None:
    done = deliver.deliver(home)
    assert done["failed"] == done["waiting"] == 0 and done["sent"] == 2, "one message a channel"
    (mail,) = mails.mails
    assert "critical:" in mail["Subject"] and mail["Subject"].strip().startswith("[uwu Larkspur]")
    body = mail.get_body(("plain",))
    assert body is not None and "https://uwu.larkspur.example/findings/f_" in body.get_content()
    assert hook.verified()
    (message,) = hook.messages()
    assert {one["severity"] for one in message["notices"]} <= {"high", "medium", "low"}
    assert all(one["kind"] == "finding.opened" and one["url"] for one in message["notices"])


def test_a_worker_delivers_by_its_schedule_and_when_it_is_asked(
    home: Kernel, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedules, "CHECK_SECONDS", 0.05)
    s = tables.schedules
    worker = Worker(home, scheduling=True)
    worker.start()
    try:
        wait_until(lambda: {one.name for one in schedules.standing(home) if one.next_at} >= {"notify.deliver"})
        assert hook.got == [], "its first slot has not come"
        with home.db.write() as connection:
            past = codec.now() - timedelta(minutes=5)
            connection.execute(s.update().where(s.c.name == "notify.deliver").values(anchor_at=past, slot_at=past))
        wait_until(lambda: any(o.last_status == "done" for o in schedules.standing(home) if o.job == "notify.deliver"))
        assert len(hook.got) == 1 and hook.verified()
        with home.db.write() as connection:
            notify.tell(connection, notify.Notice("sync.failed", "sync", "", "high", "The sync failed"))
        record = worker.run_until_done(notify.soon(home))
        assert record.status == "done" and record.requested_by == "notify"
        assert hook.messages()[-1]["text"] == "The sync failed"
    finally:
        assert worker.stop(10)


def test_the_api_and_the_commands_tell_test_retry_and_mute(
    home: Kernel, hook: Webhook, capsys: pytest.CaptureFixture[str]
) -> None:
    with home.db.write() as connection:
        notify.tell(connection, notify.Notice("plan.waiting", "p_1", "group:default/payments", "info", "Plan 1 waits"))
    deliver.deliver(home)
    api = ApiClient(Embedded(home))
    page = api.get("/notices", status="failed")
    (row,) = page["items"]
    assert row["notice"]["title"] == "Plan 1 waits" and row["deliveries"][0]["channel"] == "down"
    assert api.get("/notices", limit=2)["after"]
    message = api.get("/notices", channel="mail")["items"][0]["deliveries"][0]["digest"]
    assert api.get("/notices", message=message)["total"] >= 1
    states = {one["name"]: one for one in api.get("/channels")}
    assert (states["down"]["failed"], states["ops"]["is_fallback"], states["mail"]["kind"]) == (1, True, "mailto")
    api.close()

    status, text = uwu(capsys, "notices", "test", "ops")
    assert status == 0 and "ops has taken the message" in text
    assert hook.messages()[-1]["text"] == "This is a test of the channel ops"
    status, text = uwu(capsys, "notices", "test", "down")
    assert status == 1 and "did not answer" in text and PATH_TOKEN not in text
    status, text = uwu(capsys, "notices", "test", "none")
    assert status == 3 and "down, mail, ops" in text
    status, text = uwu(capsys, "notices", "list", "--status", "failed")
    assert status == 0 and "Plan 1 waits" in text and "no such" not in text
    status, text = uwu(capsys, "notices", "channels", "--json")
    assert status == 0 and {one["name"] for one in json.loads(text)} == {"down", "mail", "ops"}
    status, text = uwu(capsys, "notices", "retry", row["notice"]["id"])
    assert status == 0 and "1 delivery is tried again" in text
    status, text = uwu(capsys, "notices", "mute", "p_1", "--hours", "2", "--reason", "known")
    assert status == 0 and "p_1 is muted until" in text
    status, text = uwu(capsys, "notices", "mute", "p_1", "--hours", "0")
    assert status == 0 and "told of again" in text
    status, text = uwu(capsys, "schedules")
    assert status == 0 and "notify.deliver" in text and "day at 03:20 UTC" in text
    with home.db.read() as connection:
        done = [entry.action for entry in audit.entries(connection)]
        assert audit.verify(connection).first_bad is None
    assert {"channel.test", "notice.retry", "notice.mute", "notice.unmute"} <= set(done)


def test_the_pages_show_what_was_told_and_what_is_set_without_a_secret(home: Kernel, hook: Webhook) -> None:
    with home.db.write() as connection:
        notify.tell(connection, notify.Notice("plan.waiting", "p_1", "", "info", "<script>alert(1)</script> waits"))
    deliver.deliver(home)
    own = {"origin": "http://127.0.0.1:8420"}
    with client_of(home) as client:
        notices = client.get("/notices")
        assert notices.status_code == 200 and "1 delivery has failed" in notices.text
        assert "<script>alert" not in notices.text and "&lt;script&gt;alert" in notices.text
        assert client.get("/notices?status=muted").text.count("No notice is like that") == 1
        assert client.get("/notices?status=nonsense").status_code == 400
        rows = list(csv.DictReader(io.StringIO(client.get("/notices?format=csv").text)))
        assert rows[0]["told"] == "down failed" and rows[0]["kind"] == "plan.waiting"
        settings = client.get("/settings?keys=all")
        assert settings.status_code == 200
        for shown in ("notify.deliver", "UWU_DRIFT_STALE_AFTER_HOURS", "OPS_URL", "not at their default"):
            assert shown in settings.text
        assert "UWU_DRIFT_STALE_AFTER_HOURS" not in client.get("/settings").text
        tested = client.post("/settings/channels/down/test", headers=own)
        assert tested.status_code == 200 and "did not take the test" in tested.text
        taken = client.post("/settings/channels/ops/test", headers=own)
        assert "has taken the test" in taken.text
        assert "has taken" not in client.get("/settings?tested=999999").text
        again = client.post("/notices/retry", headers=own)
        assert again.status_code == 200 and "delivery has failed" not in again.text
        told = "".join(page.text for page in (notices, settings, tested, taken, client.get("/api/v1/settings")))
        for secret in (SECRET, PATH_TOKEN, hook.url):
            assert secret not in told
