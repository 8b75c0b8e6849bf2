"""Channels: from a setting to a sender. The address of a channel is a secret: whatever is said of it is redacted."""

from __future__ import annotations

import http.client
import logging
import os
import smtplib
import ssl
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from email.message import EmailMessage
from email.utils import format_datetime, formataddr
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from uwu.kernel import codec
from uwu.kernel.errors import Misconfigured, NotFound
from uwu.kernel.notify import message as message_
from uwu.kernel.notify import webhook
from uwu.kernel.notify.message import Message
from uwu.kernel.notify.notices import plain
from uwu.kernel.settings import ChannelSettings, Settings

WEBHOOK = "webhook+"
MAX_ERROR = 300
STARS = "***"


class SendFailed(Exception):
    """It could not be sent. The text says why and holds no secret."""


def send(settings: Settings, message: Message, environ: Mapping[str, str] | None = None) -> None:
    """Sends ``message`` by its channel. Raises ``SendFailed``; a repeated one carries the same id."""
    channel = settings.notify.channels.get(message.channel)
    if channel is None:
        raise SendFailed(f"no setting names the channel {message.channel!r} any longer")
    secrets: set[str] = set()
    try:
        url, secret = _secrets(settings, message.channel, channel, os.environ if environ is None else environ)
        secrets = parts_of(url) | {secret}
        if url.startswith(WEBHOOK):
            _webhook(settings, url.removeprefix(WEBHOOK), secret, message)
        else:
            _apprise(settings, url, message)
    except Misconfigured as error:
        raise SendFailed(redact(error.problem.message, secrets)) from None
    except smtplib.SMTPException as error:
        raise SendFailed(redact(f"the mail server refused: {_smtp(error)}", secrets)) from None
    except (OSError, http.client.HTTPException) as error:
        said = f"it did not answer: {type(error).__name__}"
        raise SendFailed(redact(f"{said}: {error}" if str(error) else said, secrets)) from None
    except (webhook.Refused, SendFailed) as error:
        raise SendFailed(redact(str(error), secrets)) from None


def kind_of(settings: Settings, name: str, environ: Mapping[str, str] | None = None) -> str:
    """The scheme of a channel's URL, which is no secret: ``mailtos``; empty where it cannot be read."""
    try:
        url, _ = _secrets(settings, name, settings.notify.channels[name], os.environ if environ is None else environ)
    except Misconfigured:
        return ""
    return url.partition("://")[0]


def known(settings: Settings, name: str) -> ChannelSettings:
    """The channel ``name``. Raises ``NotFound``."""
    if name not in settings.notify.channels:
        names = ", ".join(sorted(settings.notify.channels)) or "none is set"
        raise NotFound(f"there is no channel {name!r}", code="channel-unknown", hint=f"the channels: {names}")
    return settings.notify.channels[name]


# ---- secrets


def _secrets(settings: Settings, name: str, channel: ChannelSettings, environ: Mapping[str, str]) -> tuple[str, str]:
    place = f"notify.channels.{name}"
    url = channel.url or _read(settings, channel.url_env, channel.url_file, environ, f"{place}.url")
    secret = ""
    if channel.secret_env or channel.secret_file:
        secret = _read(settings, channel.secret_env, channel.secret_file, environ, f"{place}.secret")
    if "://" not in url:
        raise Misconfigured(f"the address of the channel {name!r} is no URL", code="channel-wrong", place=place)
    return url, secret


def _read(settings: Settings, variable: str, file: str, environ: Mapping[str, str], place: str) -> str:
    if variable:
        value = environ.get(variable, "").strip()
        if not value:
            raise Misconfigured(f"the variable {variable} is not set", code="channel-wrong", place=f"{place}_env")
        return value
    try:
        value = (settings.home_path / Path(file)).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise Misconfigured(f"the file {file} cannot be read", code="channel-wrong", place=f"{place}_file") from None
    if not value:
        raise Misconfigured(f"the file {file} is empty", code="channel-wrong", place=f"{place}_file")
    return value


def parts_of(url: str) -> set[str]:
    """What of a channel's URL may stand in no text: the whole, its user and password, its path and query."""
    found = {url, url.removeprefix(WEBHOOK)}
    rest = url.partition("://")[2]
    found.add(rest)
    try:
        parts = urlsplit(f"x://{rest}")
    except ValueError:
        return found
    path = [parts.path, *parts.path.split("/")]
    query = [piece.partition("=")[2] for piece in parts.query.split("&")]
    for piece in (parts.password, parts.username, *path, parts.query, *query):
        if piece:
            found |= {piece, unquote(piece)}
    if not url.startswith((WEBHOOK, "mailto")) and parts.netloc:  # of a chat's URL the host is a token too
        found |= {parts.netloc, parts.hostname or ""}
    return found


def redact(text: str, secrets: set[str]) -> str:
    """``text`` on one line without ``secrets``, the longest first: a part of one must not uncover the rest."""
    for secret in sorted((s for s in secrets if len(s) >= 4), key=len, reverse=True):
        text = text.replace(secret, STARS)
    return plain(text, MAX_ERROR)


# ---- senders


def _webhook(settings: Settings, url: str, secret: str, message: Message) -> None:
    at = codec.now()
    webhook.post(
        url,
        codec.encode(message_.body(message, at)),
        secret=secret,
        id=message.id,
        at=int(at.timestamp()),
        timeout=settings.notify.timeout_seconds,
        allow=settings.notify.allow_addresses,
    )


def _apprise(settings: Settings, url: str, message: Message) -> None:
    with _apprise_says() as said:
        import apprise
        from apprise.plugins.email import NotifyEmail

        plugin = cast("Any", apprise.Apprise).instantiate(url, suppress_exceptions=True)
        if plugin is None:
            raise SendFailed("apprise does not know such an address; see its list of services")
        timeout = settings.notify.timeout_seconds
        plugin.socket_connect_timeout = plugin.socket_read_timeout = float(timeout)
        if isinstance(plugin, NotifyEmail):
            _mail(plugin, message, timeout)
            return
        if host := str(getattr(plugin, "host", "") or ""):
            _refuse(host, settings)
        sent = plugin.notify(title=message.subject, body=message_.text(message), body_format=apprise.NotifyFormat.TEXT)
    if not sent:
        raise SendFailed(said[-1] if said else "the service did not take it")


def _refuse(host: str, settings: Settings) -> None:
    try:
        webhook.checked(host, 443, allow=settings.notify.allow_addresses, loopback=True)
    except OSError:
        return  # of many services it is a token and no name; those that connect to it will say what fails


def _mail(plugin: Any, message: Message, timeout: float) -> None:
    """One mail with both bodies and an id of our own: apprise reads the address, but would give each try a new id."""
    host = str(plugin.smtp_host)
    recipients = [message.address] if message.address else [address for _, address in plugin.targets]
    if not recipients:
        raise SendFailed("the address names no recipient")
    mail = EmailMessage()
    mail["Subject"] = message.subject
    name, sender = plugin.from_addr
    mail["From"] = formataddr((plain(str(name), 80) if name else "uwu", str(sender)))
    mail["To"] = ", ".join(recipients)
    mail["Date"] = format_datetime(codec.now())
    mail["Message-ID"] = f"<{message.id}@{str(sender).rpartition('@')[2] or 'uwu.invalid'}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Entity-Ref-ID"] = message.id
    mail.set_content(message_.text(message))
    mail.add_alternative(message_.html_text(message), subtype="html")
    context = ssl.create_default_context()
    if not plugin.verify_certificate:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    server: smtplib.SMTP
    if plugin.secure_mode == "ssl":
        server = smtplib.SMTP_SSL(host, plugin.port, timeout=timeout, context=context)
    else:
        server = smtplib.SMTP(host, plugin.port, timeout=timeout)
    with server:
        if plugin.secure_mode == "starttls":
            server.starttls(context=context)
        if plugin.user and plugin.password:
            server.login(plugin.user, plugin.password)
        copies = [] if message.address else [*plugin.cc, *plugin.bcc]
        refused = server.send_message(mail, from_addr=str(sender), to_addrs=[*recipients, *copies])
    if refused:
        # said, not tried again: the others have it, and would get it twice
        _log.warning("the mail server refused %d of the recipients of the channel %s", len(refused), message.channel)


def _smtp(error: smtplib.SMTPException) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        text = error.smtp_error
        return f"{error.smtp_code} {text.decode(errors='replace') if isinstance(text, bytes) else text}"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return ", ".join(f"{code} for a recipient" for code, _ in error.recipients.values())
    return f"{type(error).__name__} {error}"


_log = logging.getLogger("uwu.notify")
_sending = threading.local()


class _Silence(logging.Filter):
    """Keeps to itself what is said while this thread sends: it may hold addresses and tokens."""

    def filter(self, record: logging.LogRecord) -> bool:
        said: list[str] | None = getattr(_sending, "said", None)
        if said is None:
            return record.name != "apprise"
        if record.name == "apprise" and record.levelno >= logging.WARNING:
            said.append(record.getMessage())
        return False


for _name in ("apprise", "urllib3.connectionpool", "urllib3.util.retry"):
    logging.getLogger(_name).addFilter(_Silence())


@contextmanager
def _apprise_says() -> Generator[list[str]]:
    """What apprise warns of in this thread: it gives no reason otherwise."""
    _sending.said = said = list[str]()
    try:
        yield said
    finally:
        _sending.said = None
