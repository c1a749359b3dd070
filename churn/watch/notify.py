"""Alerts sent out: to a webhook, by e-mail, and as metrics to Amazon CloudWatch.

Each alert is sent once a channel. A channel that fails stops nothing: what went wrong is kept, and the next watch tries again. A
sender that was killed halfway is taken for one that failed, so that in this one case a message may come twice. Messages hold
words about columns, days and shares: no customer, no value of a customer, no address of a server, no secret.
"""

from __future__ import annotations

import http.client
import json
import smtplib
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

from churn.data import s3
from churn.errors import ChurnError, SettingsError
from churn.settings import Settings
from churn.watch import alerts
from churn.watch.alerts import OPEN, Alert
from churn.watch.rules import CAUSES, COLUMN_MOVED

if TYPE_CHECKING:
    from churn.base.records import Records

PASSWORD = "CHURN_SMTP_PASSWORD"
_STUCK = timedelta(minutes=10)  # a sending that began longer ago was killed
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SECURITY = ("starttls", "tls", "none")
_AGAIN = (408, 425, 429)  # answers of a server that may say otherwise a little later; and all from 500 on
Send = Callable[[Mapping[str, Any]], None]


class _NotSent(Exception):
    """A channel refused or did not answer; the words hold no address and no secret."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a channel did: how many alerts it `sent`, and what is wrong with it, if anything."""

    channel: str
    sent: int
    problem: str | None = None


def deliver(
    records: Records, settings: Settings, *, environ: Mapping[str, str], now: datetime | None = None
) -> tuple[Delivery, ...]:
    """Send every open alert that a channel has not had yet.

    Parameters
    ----------
    environ: where the password of the mail server is.

    Raises
    ------
    SettingsError: a channel is set up wrongly. RecordsUnavailable: what was sent cannot be kept; then nothing more is sent.
    """
    at = now or datetime.now(UTC)
    done = []
    for name, send in channels(settings, environ).items():
        sent, problem = 0, None
        for alert in alerts.listed(records)[::-1]:
            if alert.state != OPEN or not _claim(records, alert, name, at):
                continue
            try:
                send(message(alert, settings))
            except _NotSent as error:
                problem = str(error)
                _settle(records, alert, name, "failed", at, problem)
                break  # the others would wait for it in vain; the next watch sends them
            _settle(records, alert, name, "sent", at)
            sent += 1
        done.append(Delivery(name, sent, problem))
    if settings.alert_cloudwatch:
        done.append(_metrics(records, settings))
    return tuple(done)


def message(alert: Alert, settings: Settings) -> dict[str, Any]:
    """What is sent of an alert, ready for JSON."""
    return {
        "id": alert.id,
        "title": alert.title,
        "words": alert.words,
        "cause": alert.cause,
        "column": alert.subject if alert.cause == COLUMN_MOVED else None,
        "model": alert.model or None,
        "workspace": settings.workspace,
        "simulated": settings.simulated,
        "since": alert.since.isoformat() if alert.since else None,
        "last": alert.last.isoformat() if alert.last else None,
        "opened": alert.opened.isoformat(timespec="seconds"),
    }


def channels(settings: Settings, environ: Mapping[str, str]) -> dict[str, Send]:
    """The channels that are set up, by name. Raises SettingsError where one is so wrongly."""
    found: dict[str, Send] = {}
    if settings.alert_webhook:
        try:
            scheme = urllib.parse.urlsplit(settings.alert_webhook).scheme
        except ValueError:
            scheme = ""
        if scheme not in ("http", "https"):
            raise SettingsError("setting 'alert_webhook' must be an address that begins with https:// or http://")
        found["webhook"] = lambda told: _post(settings, told)
    if settings.alert_email_to:
        _check_mail(settings)
        found["e-mail"] = lambda told: _mail(settings, told, environ.get(PASSWORD, ""))
    return found


def _claim(records: Records, alert: Alert, channel: str, at: datetime) -> bool:
    """Take an alert on, so that no other watch sends it too; False where it is sent or being sent."""
    from churn.base.records import utc
    from churn.watch import _rows as rows

    with records.begin() as connection:
        rows.alone(connection, records.workspace)
        there = rows.sendings(connection, records.workspace, channel).get(alert.id)
        if there is not None and (there.state == "sent" or (there.state == "sending" and utc(there.at) > at - _STUCK)):
            return False
        values = {"state": "sending", "attempts": (there.attempts if there else 0) + 1, "problem": None, "at": at}
        rows.put_sending(connection, records.workspace, alert.id, channel, values, new=there is None)
    return True


def _settle(records: Records, alert: Alert, channel: str, state: str, at: datetime, problem: str | None = None) -> None:
    from churn.watch import _rows as rows

    with records.begin() as connection:
        values = {"state": state, "problem": problem, "at": at}
        rows.put_sending(connection, records.workspace, alert.id, channel, values, new=False)
        detail = f"{channel}: {problem}" if problem else channel
        rows.add_event(connection, records.workspace, alert.id, state, alerts.WATCH, at, detail)


# -- webhook -----------------------------------------------------------------------


class _Stay(urllib.request.HTTPRedirectHandler):
    """A post that is sent elsewhere would arrive as a question without its content."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _post(settings: Settings, told: Mapping[str, Any]) -> None:
    headers = {"Content-Type": "application/json", "User-Agent": "churn", "Idempotency-Key": str(told["id"])}
    body = json.dumps(told, ensure_ascii=False).encode()
    opener = urllib.request.build_opener(_Stay)
    problem = ""
    for attempt in range(settings.alert_attempts):
        if attempt:
            time.sleep(min(0.5 * 2**attempt, 5.0))
        try:
            asked = urllib.request.Request(settings.alert_webhook, data=body, headers=headers, method="POST")
            with opener.open(asked, timeout=settings.alert_timeout_s):
                return
        except urllib.error.HTTPError as error:
            problem = f"the webhook answered {error.code}"
            error.close()
            if error.code not in _AGAIN and error.code < 500:
                break
        except (OSError, http.client.HTTPException, ValueError) as error:  # a refusal may quote the address
            problem = f"the webhook did not answer ({type(getattr(error, 'reason', None) or error).__name__})"
    raise _NotSent(problem)


# -- e-mail ------------------------------------------------------------------------


def _check_mail(settings: Settings) -> None:
    if not settings.alert_smtp_host:
        raise SettingsError("setting 'alert_email_to' needs 'alert_smtp_host', the server that e-mail is handed to")
    if settings.alert_smtp_security not in _SECURITY:
        raise SettingsError(
            f"setting 'alert_smtp_security' must be one of {', '.join(_SECURITY)}, not {settings.alert_smtp_security!r}"
        )
    if settings.alert_smtp_security == "none" and (settings.alert_smtp_host not in _LOOPBACK or settings.alert_smtp_user):
        raise SettingsError(
            "setting 'alert_smtp_security' may be none only for a server on this machine that asks for no password; "
            "use starttls or tls"
        )


def _mail(settings: Settings, told: Mapping[str, Any], password: str) -> None:
    to = [address.strip() for address in settings.alert_email_to.split(",") if address.strip()]
    letter = EmailMessage()
    simulated = "[simulated] " if told["simulated"] else ""
    letter["Subject"] = f"{simulated}{settings.workspace}: {told['title']}"
    letter["From"], letter["To"] = settings.alert_email_from or to[0], ", ".join(to)
    facts = [f"{name}: {told[name]}" for name in ("model", "column", "since", "last", "opened") if told[name]]
    letter.set_content("\n".join([str(told["words"]), "", *facts, "", f"churn alerts ack {told['id']} --why …"]))
    host, port, wait = settings.alert_smtp_host, settings.alert_smtp_port, settings.alert_timeout_s
    private = ssl.create_default_context()
    try:
        server = (
            smtplib.SMTP_SSL(host, port, timeout=wait, context=private)
            if settings.alert_smtp_security == "tls"
            else smtplib.SMTP(host, port, timeout=wait)
        )
        with server:
            if settings.alert_smtp_security == "starttls":
                server.starttls(context=private)
            if settings.alert_smtp_user:
                server.login(settings.alert_smtp_user, password)
            server.send_message(letter)
    except smtplib.SMTPAuthenticationError as error:
        raise _NotSent(f"the mail server refuses user and password ({PASSWORD})") from error
    except smtplib.SMTPResponseException as error:  # what it says may quote what it was told
        raise _NotSent(f"the mail server answered {error.smtp_code}") from error
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise _NotSent(f"the mail could not be handed over ({type(error).__name__})") from error


# -- metrics -----------------------------------------------------------------------


def _metrics(records: Records, settings: Settings) -> Delivery:
    """How many alerts are open, in all and by cause, as they are now: figures and no messages, so they are put each time."""
    counts = dict.fromkeys(CAUSES, 0)
    for alert in alerts.listed(records):
        if alert.state == OPEN:
            counts[alert.cause] = counts.get(alert.cause, 0) + 1
    workspace = {"Name": "Workspace", "Value": settings.workspace}
    of_all = {"MetricName": "OpenAlerts", "Unit": "Count", "Value": sum(counts.values()), "Dimensions": [workspace]}
    of_each = [
        {
            "MetricName": "OpenAlerts",
            "Unit": "Count",
            "Value": number,
            "Dimensions": [workspace, {"Name": "Cause", "Value": cause}],
        }
        for cause, number in counts.items()
    ]
    try:
        s3.put_metrics(settings, settings.alert_cloudwatch, [of_all, *of_each])
    except ChurnError as error:
        return Delivery("cloudwatch", 0, str(error))
    return Delivery("cloudwatch", 1)
