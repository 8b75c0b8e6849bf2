"""What leaves: mails and webhooks that real servers receive; what may not be reached; what no text may hold."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.kernel.notify_world import (
    PATH_TOKEN,
    SECRET,
    Mailbox,
    Webhook,
    free_port,
    mailbox,
    webhook,
    with_settings,
)
from uwu.kernel import settings as settings_
from uwu.kernel.errors import Misconfigured, NotFound
from uwu.kernel.notify import Notice, channels, deliver, notices, tell
from uwu.kernel.notify.channels import SendFailed, parts_of, redact
from uwu.kernel.notify.message import SHOWN, compose
from uwu.kernel.notify.notices import Told
from uwu.kernel.notify.webhook import Refused, checked, signature
from uwu.kernel.runtime import Kernel
from uwu.kernel.settings import HttpSettings


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as made:
        yield made


@pytest.fixture
def mails() -> Iterator[Mailbox]:
    with mailbox() as made:
        yield made


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)


def kernel_with(kernel: Kernel, **notify: Any) -> Kernel:
    return with_settings(kernel, notify, organization="Acme", http=HttpSettings(public_url="https://uwu.acme.example/"))


WORLD_OPEN = Notice(
    kind="finding.opened",
    subject="f_1",
    owner="group:default/payments",
    severity="critical",
    title="sg-0b3f <script>alert(1)</script> is open to the world",
    detail={"what": "arn:aws:ec2:eu-west-1:111122223333:security-group/sg-0b3f", "changed by": "mira.k",
            "since": "2025-03-10T14:02:11Z"},
    path="/findings/f_1",
)  # fmt: skip


def send(kernel: Kernel, *told: Notice) -> str:
    """Tells and delivers, and gives the error of the first delivery."""
    with kernel.db.write() as connection:
        tell(connection, *told)
    deliver.deliver(kernel)
    with kernel.db.read() as connection:
        return notices.notices(connection).items[0].deliveries[0].error


# ---- mail


def test_a_mail_has_both_bodies_a_stable_id_and_a_link(sqlite_kernel: Kernel, mails: Mailbox) -> None:
    kernel = kernel_with(sqlite_kernel, channels={"mail": {"url": mails.url}}, fallback="mail")
    assert send(kernel, WORLD_OPEN) == ""
    (mail,) = mails.mails
    with kernel.db.read() as connection:
        digest = notices.notices(connection).items[0].deliveries[0].digest
    assert mail["Message-ID"] == f"<{digest}@acme.example>"
    assert mail["Subject"].strip() == "[uwu Acme] critical: sg-0b3f <script>alert(1)</script> is open to the world"
    assert mail["From"] == "uwu <uwu@acme.example>" and mail["To"] == "ops@acme.example"
    assert mail["Auto-Submitted"] == "auto-generated" and mail["Date"]
    plain, rich = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None and rich is not None
    text, html = plain.get_content(), rich.get_content()
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0] == "sg-0b3f <script>alert(1)</script> is open to the world."
    assert "owner group:default/payments" in lines and "changed by mira.k" in lines
    assert "since 2025-03-10 14:02 UTC" in lines and "open https://uwu.acme.example/findings/f_1" in lines
    assert "<script>" not in html and "&lt;script&gt;" in html
    assert "href='https://uwu.acme.example/findings/f_1'" in html


def test_a_mail_goes_to_the_owner_where_the_channel_says_so(sqlite_kernel: Kernel, mails: Mailbox) -> None:
    from tests.kernel.test_notify import PAYMENTS, entity

    kernel = kernel_with(
        sqlite_kernel, channels={"mail": {"url": mails.url, "to_owner": True}}, routes=[{"channel": "mail"}]
    )
    entity(kernel, PAYMENTS, email="payments@acme.example")
    unowned = Notice("finding.opened", "f_2", "", "high", "a queue nobody owns", dedupe="2")
    send(kernel, WORLD_OPEN, unowned)
    assert sorted(mails.envelopes) == [["ops@acme.example"], ["payments@acme.example"]]


def test_a_mail_that_is_refused_says_why(sqlite_kernel: Kernel, mails: Mailbox) -> None:
    kernel = kernel_with(sqlite_kernel, channels={"mail": {"url": mails.url}}, fallback="mail")
    mails.refuse = "451 come back later"
    assert "451 come back later" in send(kernel, WORLD_OPEN)


def test_a_long_digest_spells_out_the_worst_and_links_to_all(sqlite_kernel: Kernel, mails: Mailbox) -> None:
    kernel = kernel_with(sqlite_kernel, channels={"mail": {"url": mails.url}}, fallback="mail")
    low = [Notice("finding.opened", f"f_{n}", "", "low", f"low {n}", dedupe=f"d{n}") for n in range(60)]
    send(kernel, *low, WORLD_OPEN)
    (mail,) = mails.mails
    body = mail.get_body(("plain",))
    assert body is not None
    text = body.get_content().replace("\r\n", "\n")
    assert text.startswith("61 findings opened.\n") and "critical:" in mail["Subject"]
    assert text.index("sg-0b3f") < text.index("low ") and f"And {61 - SHOWN} more: https://uwu.acme.example" in text


# ---- webhook


def test_a_webhook_is_signed_and_names_its_message(sqlite_kernel: Kernel, hook: Webhook) -> None:
    kernel = kernel_with(
        sqlite_kernel, channels={"hook": {"url": hook.url, "secret_env": "HOOK_SECRET"}}, fallback="hook"
    )
    assert send(kernel, WORLD_OPEN) == ""
    assert hook.verified() and not hook.verified(secret="another")
    (got,), (message,) = hook.got, hook.messages()
    headers = {name.lower(): value for name, value in got["headers"].items()}
    assert headers["idempotency-key"] == message["id"] and headers["content-type"] == "application/json"
    assert headers["host"] == f"127.0.0.1:{hook.port}" and headers["user-agent"].startswith("uwu/")
    assert got["path"] == f"/hooks/{PATH_TOKEN}"
    (told,) = message["notices"]
    assert told["url"] == "https://uwu.acme.example/findings/f_1" and told["severity"] == "critical"
    assert (message["organization"], message["channel"]) == ("Acme", "hook")


def test_the_documented_check_holds_for_a_signature() -> None:
    """The lines of Python that docs/notifications.md gives to a receiver are run as they stand there."""
    page = (ROOT / "docs" / "notifications.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(def is_genuine.*?)```", page, re.DOTALL)
    given: dict[str, Any] = {}
    exec(f"import hashlib, hmac, time\n{code}", given)
    body, now = b'{"id":"m_1"}', int(time.time())
    assert given["is_genuine"]("secret", signature("secret", now, body), body)
    assert not given["is_genuine"]("secret", signature("secret", now - 600, body), body), "an old one is replayed"
    assert not given["is_genuine"]("secret", signature("other", now, body), body)
    assert not given["is_genuine"]("secret", signature("secret", now, body), body + b" ")


@pytest.mark.parametrize("status", [301, 404, 500])
def test_only_a_2xx_is_a_receipt_and_no_redirect_is_followed(sqlite_kernel: Kernel, hook: Webhook, status: int) -> None:
    kernel = kernel_with(sqlite_kernel, channels={"hook": {"url": hook.url}}, fallback="hook")
    hook.answers = [status]
    assert f"answered {status}" in send(kernel, WORLD_OPEN)
    assert len(hook.got) == 1


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "[::1]", "169.254.169.254", "[fe80::1]", "0.0.0.0", "[::ffff:169.254.169.254]",
        "[fd00:ec2::254]", "100.100.100.200", "[64:ff9b::a9fe:a9fe]", "2130706433", "0x7f.1", "224.0.0.1",
    ],
)  # fmt: skip
def test_addresses_of_this_machine_and_of_metadata_services_are_refused(
    sqlite_kernel: Kernel, hook: Webhook, host: str
) -> None:
    kernel = kernel_with(
        sqlite_kernel,
        channels={"hook": {"url": f"webhook+http://{host}:{hook.port}/"}},
        fallback="hook",
        allow_addresses=(),
    )
    assert "may not be reached" in send(kernel, WORLD_OPEN)
    assert hook.got == []


def test_a_private_network_may_be_reached_and_an_allowed_one_too() -> None:
    assert checked("10.0.0.7", 443) == "10.0.0.7"
    assert checked("127.0.0.1", 80, allow=["127.0.0.0/8"]) == "127.0.0.1"
    with pytest.raises(Refused):
        checked("169.254.169.254", 80, allow=["127.0.0.0/8"])


def test_a_certificate_that_is_not_trusted_is_refused(sqlite_kernel: Kernel, hook: Webhook) -> None:
    url = hook.url.replace("webhook+http:", "webhook+https:")
    kernel = kernel_with(sqlite_kernel, channels={"hook": {"url": url}}, fallback="hook")
    error = send(kernel, WORLD_OPEN)
    assert "SSL" in error and "did not answer" in error
    assert hook.got == []


# ---- other services


def test_a_service_of_apprise_gets_the_text(sqlite_kernel: Kernel, hook: Webhook) -> None:
    kernel = kernel_with(
        sqlite_kernel, channels={"chat": {"url": f"json://127.0.0.1:{hook.port}/{PATH_TOKEN}"}}, fallback="chat"
    )
    assert send(kernel, WORLD_OPEN) == ""
    (got,) = hook.messages()
    assert got["title"].startswith("[uwu Acme] critical:") and "changed by" in got["message"]
    hook.answers = [503]
    again = Notice("plan.waiting", "p", "", "info", "plan 1 waits", dedupe="p")
    error = send(kernel, again)
    assert error and PATH_TOKEN not in error


def test_an_address_that_apprise_does_not_know_says_so(sqlite_kernel: Kernel) -> None:
    kernel = kernel_with(sqlite_kernel, channels={"x": {"url": "nonsense://a/b"}}, fallback="x")
    assert "apprise does not know" in send(kernel, WORLD_OPEN)


# ---- secrets


def test_a_secret_is_in_no_error_log_or_page(
    sqlite_kernel: Kernel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    port = free_port()
    urls = {
        "hook": f"webhook+http://ana:pa55word@127.0.0.1:{port}/hooks/{PATH_TOKEN}?key=k3y-4711",
        "mail": f"mailto://ana:pa55word@127.0.0.1:{port}?from=u@a.example&to=o@a.example&mode=insecure",
        "json": f"json://ana:pa55word@127.0.0.1:{port}/{PATH_TOKEN}",
        "slack": "slack://nope-4711/pa55word",
    }
    for name, url in urls.items():
        monkeypatch.setenv(f"URL_{name.upper()}", url)
    kernel = kernel_with(
        sqlite_kernel,
        channels={
            name: {"url_env": f"URL_{name.upper()}", **({"secret_env": "HOOK_SECRET"} if name == "hook" else {})}
            for name in urls
        },
        routes=[{"channel": name} for name in urls],
    )
    send(kernel, WORLD_OPEN)
    tests = [deliver.test(kernel, name, by="user:default/ana") for name in urls]
    assert not any(one.sent for one in tests)
    with kernel.db.read() as connection:
        rows = notices.notices(connection).items
    assert len(rows[0].deliveries) == len(urls)
    said = "\n".join([caplog.text, *capfd.readouterr(), repr(rows), repr(tests)])
    for secret in ("pa55word", PATH_TOKEN, "k3y-4711", SECRET, "nope-4711"):
        assert secret not in said
    assert [channels.kind_of(kernel.settings, name) for name in urls] == ["webhook+http", "mailto", "json", "slack"]


def test_what_is_redacted_of_an_address() -> None:
    secrets = parts_of("slack://TOKENA/TOKENB/TOKENC?x=secret%2Fvalue")
    text = redact("to slack://TOKENA/TOKENB/TOKENC?x=secret%2Fvalue, TOKENB or secret/value failed", secrets)
    assert "TOKEN" not in text and "secret" not in text and text.endswith("failed")


def test_an_address_may_come_from_a_file_or_a_variable(sqlite_kernel: Kernel, hook: Webhook) -> None:
    (sqlite_kernel.settings.home_path / "hook-url").write_text(hook.url + "\n")
    kernel = kernel_with(sqlite_kernel, channels={"a": {"url_file": "hook-url"}, "b": {"url_env": "NOT_SET_4711"}})
    assert deliver.test(kernel, "a", by="x").sent
    missing = deliver.test(kernel, "b", by="x")
    assert not missing.sent and "NOT_SET_4711 is not set" in missing.error
    with pytest.raises(NotFound):
        deliver.test(kernel, "c", by="x")


def test_a_message_to_a_channel_that_is_gone(sqlite_kernel: Kernel) -> None:
    told = Told(
        id="n", kind="k", subject="s", owner="", owners=(), severity="info", title="t", detail={}, path="",
        created_at=deliver.codec.now(), routed_at=None,
    )  # fmt: skip
    with pytest.raises(SendFailed):
        channels.send(sqlite_kernel.settings, compose(sqlite_kernel.settings, "m_1", "gone", "", [told]))


# ---- settings


def test_channels_and_routes_are_tables_and_a_variable_overrides_one(tmp_path: Any) -> None:
    (tmp_path / "uwu.toml").write_text("""
[notify]
fallback = "ops-chat"
[notify.channels.ops-chat]
url = "slack://a/b/c"
quiet = "22:00-07:00"
timezone = "Europe/Berlin"
[[notify.routes]]
owner = "group:default/payments"
kinds = ["finding.*"]
severity = "high"
channel = "ops-chat"
""")
    loaded = settings_.load(
        tmp_path, {"UWU_NOTIFY_CHANNELS_OPS_CHAT_URL": "slack://d/e/f", "UWU_NOTIFY_KEEP_DAYS": "7"}
    ).notify
    assert loaded.channels["ops-chat"].url == "slack://d/e/f" and loaded.channels["ops-chat"].quiet == "22:00-07:00"
    assert loaded.routes[0].severity == "high" and loaded.keep_days == 7


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('fallback = "x"', "there is no channel 'x'"),
        ('[notify.channels.a]\nurl = "a://b"\nurl_env = "B"', "one of url, url_env and url_file"),
        ('[notify.channels.a]\nurl = "a://b"\nquiet = "22-7"', "$.notify.channels"),
        ('[notify.channels.a]\nurl = "a://b"\ntimezone = "Mars/Base"', "no time zone 'Mars/Base'"),
        ('[[notify.routes]]\nchannel = "b"', "there is no channel 'b'"),
        ('[[notify.routes]]\nchannel = "b"\nseverity = "worst"', "severity"),
        ('allow_addresses = ["nowhere"]', "nowhere"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(tmp_path: Any, text: str, says: str) -> None:
    (tmp_path / "uwu.toml").write_text(f"[notify]\n{text}\n")
    with pytest.raises(Misconfigured) as refused:
        settings_.load(tmp_path, {})
    assert says in refused.value.problem.message
