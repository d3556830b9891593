"""Mail to people: a seam with two ways out, by SMTP and into a folder."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from imagemill.domain.clock import uuid7

if TYPE_CHECKING:
    from email.message import EmailMessage

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Mail:
    to: str
    subject: str
    text: str


class MailTransport(Protocol):
    def send(self, mail: Mail) -> None:
        """Hand it over. May block. Raises `OSError` when it cannot."""
        ...


@dataclass(frozen=True, slots=True)
class SmtpRules:
    host: str
    port: int
    sender: str
    tls: Literal["starttls", "tls", "none"]
    user: str | None
    password: str | None
    timeout_s: float


class SmtpTransport:
    """A connection a mail: there are few. Its errors, `smtplib.SMTPException`, are of `OSError`."""

    def __init__(self, rules: SmtpRules) -> None:
        self._rules = rules

    def send(self, mail: Mail) -> None:
        # Here, as a server that sends no mail should not wait for it to be loaded.
        import smtplib
        import ssl

        rules, context = self._rules, ssl.create_default_context()
        if rules.tls == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                rules.host, rules.port, timeout=rules.timeout_s, context=context
            )
        else:
            server = smtplib.SMTP(rules.host, rules.port, timeout=rules.timeout_s)
        with server:
            if rules.tls == "starttls":
                server.starttls(context=context)
            if rules.user is not None:
                server.login(rules.user, rules.password or "")
            server.send_message(_message(mail, rules.sender))


class FolderTransport:
    """For development: each mail is a file, which only this user may read."""

    def __init__(self, folder: Path, sender: str) -> None:
        self._folder = folder
        self._sender = sender

    def send(self, mail: Mail) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{uuid7()}.eml"
        path.touch(mode=0o600)
        path.write_bytes(_message(mail, self._sender).as_bytes())
        log.info("a mail was written to %s", path)


def _message(mail: Mail, sender: str) -> "EmailMessage":
    from email.message import EmailMessage
    from email.policy import SMTP
    from email.utils import formatdate, make_msgid

    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Subject"] = sender, mail.to, mail.subject
    message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain="imagemill.invalid")
    message.set_content(mail.text)
    return message
