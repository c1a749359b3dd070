"""Alerts on their way out: once a channel, whatever fails, and with nothing in them that is nobody's business."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from churn.base.records import Records
from churn.data import s3
from churn.errors import SettingsError, StoreUnavailable
from churn.settings import Settings
from churn.watch import alerts, notify, rules
from churn.watch.rules import Condition

TODAY = date(2026, 7, 1)
NOW = datetime(2026, 7, 1, 6, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, data="data", alert_attempts=2, alert_timeout_s=5.0)


@pytest.fixture
def records(settings: Settings) -> Iterator[Records]:
    opened = Records(settings)
    yield opened
    opened.close()


def _open(records: Records, *subjects: str) -> tuple[str, ...]:
    found = [Condition(rules.COLUMN_MOVED, one, "v1", "raised", f"{one} has moved.", TODAY, TODAY) for one in subjects]
    return alerts.update(records, found, model="v1", today=TODAY, now=NOW).opened


@contextmanager
def _webhook(*answers: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that gives these answers in turn, the last one for good, and what was posted to it."""
    posted: list[dict[str, Any]] = []

    class _Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            posted.append(body | {"key": self.headers["Idempotency-Key"]})
            self.send_response(answers[min(len(posted), len(answers)) - 1])
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), _Hook)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/services/S3CRET-TOKEN", posted
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def _mail_server() -> Iterator[tuple[int, list[str]]]:
    """A mail server that takes everything and offers no encryption."""
    letters: list[str] = []

    class _Mail(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            while line := self.rfile.readline():
                word = line.split()[0].upper()
                if word == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    lines = iter(self.rfile.readline, b".\r\n")
                    letters.append(b"".join(lines).decode())
                self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 fine\r\n")

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Mail)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server.server_address[1], letters
    finally:
        server.shutdown()
        server.server_close()


def _deliver(records: Records, settings: Settings, now: datetime = NOW, **environ: str) -> tuple[notify.Delivery, ...]:
    return notify.deliver(records, settings, environ=environ, now=now)


def test_each_open_alert_is_posted_once(records: Records, settings: Settings) -> None:
    first, second = _open(records, "fee", "calls")
    alerts.acknowledge(records, second, who="ann", why="Known")
    with _webhook(200) as (url, posted):
        chosen = replace(settings, alert_webhook=url)
        assert _deliver(records, chosen) == (notify.Delivery("webhook", 1),)
        assert _deliver(records, chosen) == (notify.Delivery("webhook", 0),)
    (told,) = posted
    assert told == {
        "id": first,
        "key": first,
        "title": "A column has moved",
        "words": "fee has moved.",
        "cause": "column-moved",
        "column": "fee",
        "model": "v1",
        "workspace": "default",
        "simulated": False,
        "since": "2026-07-01",
        "last": "2026-07-01",
        "opened": "2026-07-01T06:00:00+00:00",
    }


def test_a_channel_that_fails_is_recorded_without_its_address_and_tried_again(records: Records, settings: Settings) -> None:
    (id,) = _open(records, "fee")
    with _webhook(400, 503, 200) as (url, posted):
        chosen = replace(settings, alert_webhook=url)
        assert _deliver(records, chosen) == (notify.Delivery("webhook", 0, "the webhook answered 400"),)
        assert len(posted) == 1  # what is wrong stays wrong: not tried twice
        assert _deliver(records, chosen) == (notify.Delivery("webhook", 1),)  # busy first, then taken
        assert len(posted) == 3
    told = [(event.what, event.detail) for event in alerts.history(records, id)]
    assert told[1:] == [("failed", "webhook: the webhook answered 400"), ("sent", "webhook")]


def test_nobody_there_a_redirect_and_a_broken_address_say_no_secret(records: Records, settings: Settings) -> None:
    _open(records, "fee")
    with _webhook(302) as (url, posted):
        (moved,) = _deliver(records, replace(settings, alert_webhook=url))
        assert (moved.problem, len(posted)) == ("the webhook answered 302", 1)
    (gone,) = _deliver(records, replace(settings, alert_webhook=url))
    assert gone.problem == "the webhook did not answer (ConnectionRefusedError)"
    for broken in ("ftp://S3CRET", "https://[S3CRET"):
        with pytest.raises(SettingsError, match="begins with https") as refused:
            _deliver(records, replace(settings, alert_webhook=broken))
        assert "S3CRET" not in str(refused.value)


def test_a_sender_that_was_killed_is_taken_over_and_a_live_one_is_not(records: Records, settings: Settings) -> None:
    (id,) = _open(records, "fee")
    (alert,) = alerts.listed(records)
    assert notify._claim(records, alert, "webhook", NOW)
    with _webhook(200) as (url, posted):
        chosen = replace(settings, alert_webhook=url)
        assert _deliver(records, chosen, NOW + timedelta(minutes=5))[0].sent == 0
        assert _deliver(records, chosen, NOW + timedelta(minutes=11))[0].sent == 1
    assert [one["id"] for one in posted] == [id]


def test_a_letter_says_what_the_post_says(records: Records, settings: Settings) -> None:
    _open(records, "fee")
    with _mail_server() as (port, letters):
        chosen = replace(settings, alert_email_to="desk@example.org, boss@example.org", alert_smtp_host="127.0.0.1")
        plain = replace(chosen, alert_smtp_port=port, alert_smtp_security="none")
        assert _deliver(records, plain) == (notify.Delivery("e-mail", 1),)
    (letter,) = letters
    assert "Subject: default: A column has moved" in letter
    assert "To: desk@example.org, boss@example.org" in letter
    assert "fee has moved." in letter


def test_no_letter_goes_out_in_the_clear_where_it_must_not(records: Records, settings: Settings) -> None:
    _open(records, "fee")
    asked = replace(settings, alert_email_to="desk@example.org", alert_smtp_user="desk")
    with _mail_server() as (port, letters):
        chosen = replace(asked, alert_smtp_host="127.0.0.1", alert_smtp_port=port)
        (found,) = _deliver(records, chosen, CHURN_SMTP_PASSWORD="s3cret")
        assert (found.sent, letters) == (0, [])
        assert found.problem == "the mail could not be handed over (SMTPNotSupportedError)"
    for host, user in (("mail.example.org", ""), ("127.0.0.1", "desk")):
        with pytest.raises(SettingsError, match="only for a server on this machine"):
            _deliver(records, replace(asked, alert_smtp_host=host, alert_smtp_user=user, alert_smtp_security="none"))
    with pytest.raises(SettingsError, match="needs 'alert_smtp_host'"):
        _deliver(records, asked)


def test_the_password_is_no_setting(tmp_path: Path) -> None:
    found = Settings.load(home=tmp_path, environ={"CHURN_SMTP_PASSWORD": "s3cret"})
    assert "s3cret" not in repr(found)
    (tmp_path / "config.yaml").write_text("smtp_password: s3cret\n")
    with pytest.raises(SettingsError, match="unknown setting 'smtp_password'"):
        Settings.load(home=tmp_path, environ={})


def test_metrics_count_what_is_open_and_their_failing_stops_nothing(
    records: Records, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    _open(records, "fee", "calls")
    put: list[dict[str, Any]] = []
    monkeypatch.setattr(s3, "put_metrics", lambda _, namespace, metrics: put.extend(metrics))
    chosen = replace(settings, alert_cloudwatch="Desk")
    assert _deliver(records, chosen) == (notify.Delivery("cloudwatch", 1),)
    assert {(one["Dimensions"][-1]["Value"], one["Value"]) for one in put} >= {
        ("default", 2),
        ("column-moved", 2),
        ("stale-scoring", 0),
    }

    def away(*_: object) -> None:
        raise StoreUnavailable("Amazon CloudWatch does not answer")

    monkeypatch.setattr(s3, "put_metrics", away)
    assert _deliver(records, chosen) == (notify.Delivery("cloudwatch", 0, "Amazon CloudWatch does not answer"),)
