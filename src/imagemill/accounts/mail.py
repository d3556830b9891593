"""Mail to users, sent by SMTP or written to a folder."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from imagemill.domain.clock import uuid7
from imagemill.domain.dataclass import dataclass
from imagemill.settings import MailSettings

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
        """Send the mail. May block. Raises `OSError` on failure."""
        ...


class SmtpTransport:
    """Sends each mail over its own SMTP connection, since there are few. `smtplib.SMTPException` is an
    `OSError`."""

    def __init__(self, host: str, settings: MailSettings) -> None:
        self._host = host
        self._settings = settings

    def send(self, mail: Mail) -> None:
        # Imported here, so that a server that sends no mail does not load it.
        import smtplib
        import ssl

        settings, context = self._settings, ssl.create_default_context()
        host, port, timeout_s = self._host, settings.smtp_port, settings.timeout_s
        if settings.smtp_tls == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=timeout_s, context=context)
        else:
            server = smtplib.SMTP(host, port, timeout=timeout_s)
        with server:
            if settings.smtp_tls == "starttls":
                server.starttls(context=context)
            if settings.smtp_user is not None:
                password = settings.smtp_password
                server.login(settings.smtp_user, password.get_secret_value() if password else "")
            server.send_message(_message(mail, settings.sender))


class FolderTransport:
    """Writes each mail to a file that only this user may read; for development."""

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
