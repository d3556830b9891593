"""Small parts that only `imagemill.bootstrap` builds with."""

import contextlib
import logging
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagemill.backends.base import Backend
from imagemill.backends.comfyui.backend import ComfyUI
from imagemill.backends.simulator.backend import Simulator
from imagemill.config import Settings
from imagemill.domain.credentials import digest
from imagemill.domain.limits import Limits, Terms
from imagemill.domain.money import Rate
from imagemill.domain.nodes import Finding, NodeConfig, NodeReport
from imagemill.domain.signing import UrlSigner
from imagemill.recipes.base import Recipe, Shelf
from imagemill.service.access import Access, AccessRules
from imagemill.service.attempts import Attempts
from imagemill.service.chat import Chat, ChatRules
from imagemill.service.limits import QueueWatch, Quotas, Throttle
from imagemill.service.mailing import FolderOutbox, Outbox, SmtpOutbox, SmtpRules
from imagemill.service.passwords import PasswordRules, Passwords
from imagemill.service.prices import Prices
from imagemill.service.safety import PromptGate
from imagemill.service.submit import Defaults, Submitter, is_remote
from imagemill.service.tokens import Tokens, UnusableKey
from imagemill.service.users import SessionTokens, UserRules, Users
from imagemill.store.store import Store
from imagemill.workflows.catalogue import Catalogue

if TYPE_CHECKING:
    from imagemill.service.messages import Told
    from imagemill.web.edge import EdgeRules

log = logging.getLogger(__name__)


class RealNodes:
    """The nodes of the ComfyUI backend; while there are some, or a provider is paid, the simulator rests."""

    def __init__(self, settings: Settings, backends: Mapping[str, Backend]) -> None:
        self._simulator = backends.get("simulator") if settings.simulator.enabled == "auto" else None
        comfyui = backends["comfyui"]
        assert isinstance(comfyui, ComfyUI)  # noqa: S101 - the name is ours
        self._comfyui = comfyui
        self._has_remote = any(map(is_remote, backends.values()))

    def configure(self, nodes: Sequence[NodeConfig]) -> None:
        self._comfyui.configure(nodes)
        if isinstance(self._simulator, Simulator):
            self._simulator.rest(bool(nodes) or self._has_remote)

    def catalogues(self) -> Sequence[Catalogue]:
        return self._comfyui.catalogues()

    def reports(self) -> Sequence[NodeReport]:
        return self._comfyui.reports()

    def examine(self, name: str) -> Sequence[Finding]:
        return self._comfyui.examine(name)


def entrance(settings: Settings, store: Store) -> tuple[Access, Users]:
    """Who may come in, and how people log in."""
    found = tokens(settings)
    guard = access(settings, store, found)
    return guard, users(settings, store, found, guard.forget)


def access(settings: Settings, store: Store, tokens: Tokens) -> Access:
    auth, key = settings.auth, settings.auth.admin_key
    rules = AccessRules(
        owner=settings.owner,
        always=auth.required == "always" or not is_loopback(settings.host),
        admin_key=digest(key.get_secret_value()) if key is not None else None,
        remember_s=auth.remember_s,
    )
    return Access(store.accounts, rules, SessionTokens(store, tokens).caller)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    name = host.strip().strip("[]").lower().rstrip(".")
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def tokens(settings: Settings) -> Tokens:
    auth = settings.auth

    def keys() -> list[str]:
        own = auth.jwt_secret_key
        if own is None and not auth.jwt_algorithm.startswith("HS"):
            raise UnusableKey(
                f"IMAGEMILL_AUTH__JWT_SECRET_KEY: {auth.jwt_algorithm} needs a private key, as PEM"
            )
        first = own.get_secret_value() if own else secret_file(_secrets(settings) / "jwt.key").decode()
        return [first, *(key.get_secret_value() for key in auth.jwt_former_keys)]

    return Tokens(auth.jwt_algorithm, keys, life_s=auth.jwt_expire_minutes * 60)


def passwords(settings: Settings) -> Passwords:
    auth = settings.auth
    return Passwords(PasswordRules(auth.password_threads, auth.password_waiting, auth.password_memory_mb))


def users(settings: Settings, store: Store, tokens: Tokens, forget: Callable[[], None]) -> Users:
    auth = settings.auth
    rules = UserRules(auth.sign_up, auth.session_days * 86_400, auth.login_tries, settings.mail.reset_url)
    attempts = Attempts(store.tries, window_s=auth.login_window_s)
    return Users(store, tokens, passwords(settings), outbox(settings), attempts, rules, forget)


def outbox(settings: Settings) -> Outbox | None:
    """None: no mail can be sent."""
    mail = settings.mail
    if mail.folder is not None:
        return FolderOutbox(mail.folder, mail.sender)
    if mail.smtp_host is None:
        return None
    password = mail.smtp_password.get_secret_value() if mail.smtp_password else None
    return SmtpOutbox(
        SmtpRules(
            mail.smtp_host,
            mail.smtp_port,
            mail.sender,
            mail.smtp_tls,
            mail.smtp_user,
            password,
            mail.timeout_s,
        )
    )


def edge_rules(settings: Settings) -> "EdgeRules":
    from imagemill.dialects.native.uploads import FORM_BYTES
    from imagemill.dialects.native.uploads import PATH as UPLOADS
    from imagemill.web.edge import EdgeRules

    limit = settings.limit
    return EdgeRules(
        hosts=settings.answered_hosts,
        body_bytes=limit.body_bytes,
        body_s=limit.body_s,
        origins=settings.cors.origins,
        contract_origins=settings.cors.contract_origins,
        proxies=settings.trusted_proxies,
        larger_bodies={UPLOADS: max(limit.body_bytes, limit.input_bytes + FORM_BYTES)},
        prefixes=settings.fal_api.prefixes,
    )


def recipes(settings: Settings, found: Sequence[Recipe | Callable[[Settings], Recipe]]) -> dict[str, Recipe]:
    """Recipes as they are registered, or built of the settings."""
    built = [each if isinstance(each, Recipe) else each(settings) for each in found]
    return {recipe.name: recipe for recipe in built}


def late_renderer(signer: UrlSigner, base_url: str) -> "Callable[[Told], Mapping[str, Any]]":
    """Of webhooks' messages; its words are the native dialect's, which is loaded for the first of them."""

    def render(told: "Told") -> Mapping[str, Any]:
        from imagemill.dialects.webhooks.schemas import renderer

        return renderer(signer, base_url)(told)

    return render


def prices(settings: Settings, recipes: Mapping[str, Recipe]) -> Prices:
    rates = {name: Rate(**given.model_dump()) for name, given in settings.credits.prices.items()}
    known = {*recipes, *(name for recipe in recipes.values() for name in recipe.rates)}
    for name in sorted(set(rates) - known):
        log.warning("IMAGEMILL_CREDITS__PRICES names %r, which is no recipe of this server", name)
    return Prices(recipes, rates, settings.credits.backends, is_charged=settings.credits.enabled)


def chat(settings: Settings) -> Chat | None:
    """The language model that translates; None: the glossary does."""
    llm = settings.llm
    if llm.base_url is None or llm.model is None:
        return None
    key = llm.api_key.get_secret_value() if llm.api_key is not None else None
    times = {"timeout_s": llm.timeout_s, "retry_after_s": llm.retry_after_s, "rest_s": llm.rest_s}
    return Chat(ChatRules(llm.base_url, llm.model, key, answer_bytes=llm.answer_bytes, **times))


def submitter(
    settings: Settings,
    defaults: Defaults,
    gate: PromptGate,
    store: Store,
    shelf: Callable[[str], Shelf],
    recipes: Mapping[str, Recipe],
    backends: Mapping[str, Backend],
) -> Submitter:
    quotas = Quotas()
    if (held_to := terms(settings)) is not None:
        quotas = Quotas(held_to, QueueWatch(store.workload) if settings.quota.refuse_late else None)
    return Submitter(store, shelf, recipes, backends, defaults, prices(settings, recipes), quotas, gate)


def throttle(settings: Settings, store: Store) -> Throttle | None:
    held_to = terms(settings)
    return Throttle(store.limits, held_to, settings.auth.remember_s) if held_to is not None else None


def terms(settings: Settings) -> Terms | None:
    quota = settings.quota
    if not quota.enabled:
        return None
    return Terms(
        account=Limits(
            quota.requests_per_minute,
            quota.jobs_in_flight,
            quota.megapixels_per_day,
            quota.cooldown_s,
            quota.jobs_per_day,
        ),
        end_user=Limits(
            quota.user_requests_per_minute,
            quota.user_jobs_in_flight,
            quota.user_megapixels_per_day,
            quota.user_cooldown_s,
            quota.user_jobs_per_day,
        ),
        roles=frozenset(quota.roles),
        free=frozenset({settings.owner}),
        most_jobs=quota.most_jobs,
    )


def signing_key(settings: Settings) -> bytes:
    """Of the settings, where several machines share one; else this installation's own."""
    if settings.url_signing_key is not None:
        return settings.url_signing_key.get_secret_value().encode()
    return secret_file(_secrets(settings) / "url-signing.key")


def secret(settings: Settings, name: str) -> bytes:
    """A secret of this installation."""
    return secret_file(_secrets(settings) / f"{name}.key")


def _secrets(settings: Settings) -> Path:
    return settings.data_dir / "secrets"


def secret_file(path: Path) -> bytes:
    """A secret of this installation, drawn at first use, readable by its owner only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(descriptor, secrets.token_hex(32).encode())
    os.close(descriptor)
    with contextlib.suppress(FileExistsError):
        os.link(fresh, path)  # whoever links first wins, and nobody reads half a secret
    fresh.unlink()
    return path.read_bytes()
