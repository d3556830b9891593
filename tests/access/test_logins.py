"""People who log in: sessions, passwords, mails."""

import email
import email.policy
import re
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imagemill.accounts.mail import Mail, SmtpTransport
from imagemill.accounts.passwords import Passwords
from imagemill.domain.errors import Busy
from imagemill.settings import AuthSettings, MailSettings
from tests.access.support import ADMIN_KEY, PASSWORD, QUICK, ask, login, sign_up
from tests.conftest import Server, running_server
from tests.http.support import problem, until
from tests.tuning import tuned

NEW = "a much newer password"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    from imagemill.config import Settings

    folder = tmp_path_factory.mktemp("logins")
    auth = tuned(AuthSettings, admin_key=ADMIN_KEY, sign_up=True, login_tries=6, **QUICK)
    mail = {"folder": folder / "mails", "reset_url": "https://app.example/reset?token={token}"}
    with running_server(Settings(_env_file=None, data_dir=folder, auth=auth, mail=mail)) as server:
        yield server


def me(server: Server, token: str) -> int:
    return ask(server, token, "GET", "/api/v1/auth/me").status_code


def refresh(server: Server, token: str) -> Any:
    return ask(server, None, "POST", "/api/v1/auth/refresh", json={"refreshToken": token})


def test_nobody_signs_up_where_it_is_not_wanted(make_server: Callable[..., Server]) -> None:
    body = {"email": "ann@example.org", "password": PASSWORD}
    answer = ask(make_server(), None, "POST", "/api/v1/auth/sign-up", json=body)
    assert "IMAGEMILL_AUTH__SIGN_UP" in problem(answer, 403)["detail"]


def test_whoever_signs_up_is_a_user_with_a_session(app: Server) -> None:
    session = sign_up(app, "One@Example.org")
    assert session["role"] == "user"
    told = ask(app, session["accessToken"], "GET", "/api/v1/auth/me").json()
    assert told["owner"] == session["owner"]
    assert told["credential"].startswith("session:")
    assert "admin" not in told["scopes"]
    body = {"email": "one@example.org", "password": PASSWORD}
    problem(ask(app, None, "POST", "/api/v1/auth/sign-up", json=body), 409)


def test_a_wrong_password_and_a_wrong_address_are_answered_alike(app: Server) -> None:
    sign_up(app, "two@example.org")
    wrong, unknown = login(app, "two@example.org", "wrong password"), login(app, "nobody@example.org")
    assert problem(wrong, 401)["detail"] == problem(unknown, 401)["detail"]
    assert "wrong password" not in wrong.text
    assert login(app, "TWO@example.org ").status_code == 200


def test_a_logout_ends_the_session_at_once_and_no_other(app: Server) -> None:
    first = sign_up(app, "three@example.org")
    second = login(app, "three@example.org").json()
    assert [me(app, each["accessToken"]) for each in (first, second)] == [200, 200]
    assert ask(app, first["accessToken"], "POST", "/api/v1/auth/logout").status_code == 204
    assert [me(app, each["accessToken"]) for each in (first, second)] == [401, 200]
    problem(refresh(app, first["refreshToken"]), 401)
    problem(ask(app, ADMIN_KEY, "POST", "/api/v1/auth/logout"), 409)


def test_refresh_tokens_rotate_and_a_former_one_ends_the_session(app: Server) -> None:
    first = sign_up(app, "four@example.org")
    second = refresh(app, first["refreshToken"]).json()
    third = refresh(app, second["refreshToken"]).json()
    assert me(app, third["accessToken"]) == 200
    assert "used already" in problem(refresh(app, first["refreshToken"]), 401)["detail"]
    assert me(app, third["accessToken"]) == 401
    problem(refresh(app, third["refreshToken"]), 401)
    problem(refresh(app, "nonsense"), 401)


def test_a_new_password_ends_the_other_sessions(app: Server) -> None:
    mine, other = sign_up(app, "five@example.org"), login(app, "five@example.org").json()

    def change(current: str, new: str) -> Any:
        body = {"currentPassword": current, "newPassword": new}
        return ask(app, mine["accessToken"], "POST", "/api/v1/auth/change-password", json=body)

    assert "currentPassword" in problem(change("wrong password", NEW), 400)["errors"]
    assert "newPassword" in problem(change(PASSWORD, "short"), 400)["errors"]
    assert me(app, other["accessToken"]) == 200
    assert change(PASSWORD, NEW).status_code == 204
    assert [me(app, each["accessToken"]) for each in (mine, other)] == [200, 401]
    problem(login(app, "five@example.org"), 401)
    assert login(app, "five@example.org", NEW).status_code == 200


def test_a_disabled_user_is_out_at_once_and_cannot_come_back(app: Server) -> None:
    session = sign_up(app, "six@example.org")
    app.client.headers["Authorization"] = f"Bearer {ADMIN_KEY}"
    assert me(app, session["accessToken"]) == 200
    app.client.patch(f"/api/v1/owners/{session['owner']}", json={"disabled": True})
    assert me(app, session["accessToken"]) == 401
    problem(login(app, "six@example.org"), 401)
    problem(refresh(app, session["refreshToken"]), 401)


def forgot(server: Server, address: str) -> Any:
    return ask(server, None, "POST", "/api/v1/auth/forgot-password", json={"email": address})


def reset(server: Server, token: str, password: str = NEW) -> Any:
    body = {"token": token, "password": password}
    return ask(server, None, "POST", "/api/v1/auth/reset-password", json=body)


def mails(server: Server) -> list[Path]:
    folder = server.app.settings.mail.folder
    assert folder is not None
    return sorted(folder.glob("*.eml"))


def test_a_forgotten_password_is_chosen_anew_once_by_mail(app: Server) -> None:
    session, before = sign_up(app, "seven@example.org"), len(mails(app))
    unknown, known = forgot(app, "nobody@example.org"), forgot(app, "Seven@example.org")
    assert (unknown.status_code, unknown.content) == (known.status_code, known.content)
    (path,) = until(lambda: mails(app)[before:])
    assert path.stat().st_mode & 0o077 == 0
    until(path.read_bytes)
    mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert mail["To"] == "seven@example.org"
    found = re.search(r"https://app\.example/reset\?token=(\S+)", mail.get_content())
    assert found is not None
    assert "password" in problem(reset(app, found[1], "short"), 400)["errors"]
    assert reset(app, found[1]).status_code == 204
    assert me(app, session["accessToken"]) == 401
    assert login(app, "seven@example.org", NEW).status_code == 200
    assert "token" in problem(reset(app, found[1]), 400)["errors"]
    assert "token" in problem(reset(app, "x" * 43), 400)["errors"]


def test_without_mail_it_says_what_to_set(make_server: Callable[..., Server]) -> None:
    answer = forgot(make_server(), "ann@example.org")
    assert "IMAGEMILL_MAIL__SMTP_HOST" in problem(answer, 409)["detail"]


def test_guessing_is_slowed_down_and_a_right_password_counts_for_nothing(
    make_server: Callable[..., Server],
) -> None:
    server = make_server(auth=tuned(AuthSettings, sign_up=True, login_tries=3, **QUICK))
    sign_up(server)
    for _ in range(5):
        assert login(server).status_code == 200
    statuses = [login(server, password="wrong password").status_code for _ in range(4)]
    assert statuses == [401, 401, 401, 429]
    answer = login(server)
    assert problem(answer, 429)["type"].endswith("too_many_attempts")
    assert 0 < int(answer.headers["retry-after"]) <= 900


def test_no_more_passwords_are_checked_at_once_than_threads_allow() -> None:
    passwords = Passwords(64, threads=1, waiting=1)
    begun = [passwords.hash(PASSWORD), passwords.hash(PASSWORD)]
    with pytest.raises(Busy):
        passwords.hash(PASSWORD)
    first = begun[0].result()
    assert first.startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    assert begun[1].result() != first
    assert passwords.verify(PASSWORD, first).result() is True
    assert passwords.verify("another one", first).result() is False
    assert passwords.verify("nobody's password", None).result() is False
    passwords.close()


def test_an_unknown_user_takes_as_long_as_a_known_one() -> None:
    passwords = Passwords(32, threads=1)
    known = passwords.hash(PASSWORD).result()

    def took(hash_: str | None) -> float:
        passwords.verify("wrong", hash_).result()
        spans: list[float] = []
        for _ in range(5):
            start = time.thread_time_ns(), time.perf_counter()
            passwords.verify("wrong", hash_).result()
            spans.append(time.perf_counter() - start[1])
        return min(spans)

    assert 0.3 < took(known) / took(None) < 3
    passwords.close()


def test_the_secret_of_tokens_is_drawn_at_the_first_login_and_only_we_read_it(
    make_server: Callable[..., Server],
) -> None:
    server = make_server(auth={"sign_up": True, **QUICK})
    secret = server.app.settings.data_dir / "secrets" / "jwt.key"
    assert not secret.exists()
    sign_up(server)
    assert secret.stat().st_mode & 0o777 == 0o600
    assert len(secret.read_text()) == 64


class _Smtp(socketserver.StreamRequestHandler):
    """As much of RFC 5321 as a mail takes."""

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        mails: list[bytes] = self.server.mails  # type: ignore[attr-defined]
        while line := self.rfile.readline():
            verb = line[:4].upper().strip()
            if verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                text = b""
                while (part := self.rfile.readline()) != b".\r\n":
                    text += part
                mails.append(text)
            self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
            if verb == b"QUIT":
                return


def test_a_mail_goes_out_by_smtp() -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Smtp) as server:
        server.daemon_threads = True
        server.mails = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        settings = MailSettings(smtp_port=port, sender="mill@example.org", smtp_tls="none")
        SmtpTransport("127.0.0.1", settings).send(Mail("ann@example.org", "Hello", "There you are.\n"))
        (text,) = server.mails  # type: ignore[attr-defined]
        server.shutdown()
    assert b"To: ann@example.org\r\n" in text
    assert b"There you are." in text
