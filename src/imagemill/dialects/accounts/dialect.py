"""Access: keys, owners, users, sessions, the audit log."""

from fastapi import APIRouter

from imagemill.dialects.accounts.administration import Administration
from imagemill.dialects.accounts.logins import Logins
from imagemill.dialects.base import Dialect, no_callback
from imagemill.domain.access import Scope
from imagemill.service.services import Services
from imagemill.web.permits import Permit

_AUTH = "/api/v1/auth"


def _router(services: Services) -> APIRouter:
    routes = APIRouter()
    routes.include_router(Administration(services).router())
    routes.include_router(Logins(services.users).router())
    return routes


DIALECT = Dialect(
    name="accounts",
    router=_router,
    callback=no_callback,
    permits=(
        Permit("/api/v1/keys", Scope.ACCOUNT_READ, Scope.ACCOUNT_WRITE, audited=True),
        Permit("/api/v1/keys/", Scope.ACCOUNT_READ, Scope.ACCOUNT_WRITE, audited=True),
        Permit("/api/v1/owners", Scope.ADMIN, Scope.ADMIN),
        Permit("/api/v1/owners/", Scope.ADMIN, Scope.ADMIN),
        Permit("/api/v1/users", Scope.ADMIN, Scope.ADMIN),
        Permit("/api/v1/users/", Scope.ADMIN, Scope.ADMIN),
        Permit("/api/v1/audit", Scope.ADMIN, Scope.ADMIN),
        *(
            Permit(f"{_AUTH}/{name}", None)
            for name in ("sign-up", "login", "refresh", "forgot-password", "reset-password")
        ),
        Permit(f"{_AUTH}/change-password", Scope.ACCOUNT_READ, Scope.ACCOUNT_WRITE, audited=True),
        Permit(f"{_AUTH}/logout", Scope.ACCOUNT_READ, Scope.ACCOUNT_WRITE),
        Permit(f"{_AUTH}/me", Scope.ACCOUNT_READ),
    ),
)
