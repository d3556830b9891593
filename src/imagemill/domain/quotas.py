"""Quotas: how much an owner may request, and how much of it remains."""

import math
from collections.abc import Mapping
from dataclasses import field, replace

from imagemill.domain.dataclass import dataclass

REQUESTS, JOBS, MEGAPIXELS = "requests", "jobs", "megapixels"
COOLDOWN = "cooldown:"
"""Prefix before a recipe's name: minimum seconds between two submissions of the recipe."""
DAILY = "daily:"
"""Prefix before a recipe's name: jobs of the recipe a day."""
KINDS = (REQUESTS, JOBS, MEGAPIXELS)
NONE = -1.0
"""Value of an owner's own limit that means unlimited, whatever the settings say."""

MINUTE_S, DAY_S = 60, 86_400


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one owner; None means no limit."""

    requests: float | None = None
    """Requests a clock minute."""
    jobs: float | None = None
    """Jobs in flight: waiting, queued and running."""
    megapixels: float | None = None
    """Megapixels a UTC day."""
    cooldowns: Mapping[str, float] = field(default_factory=dict[str, float])
    """Recipe -> minimum seconds between two submissions."""
    daily: Mapping[str, float] = field(default_factory=dict[str, float])
    """Recipe -> jobs a UTC day."""

    def overridden(self, own: Mapping[str, float]) -> "Limits":
        """Return these limits, replaced by the owner's own limits where it has some."""
        if not own:
            return self
        given = {kind: _limit(amount) for kind, amount in own.items() if kind in KINDS}
        cooldowns, daily = dict(self.cooldowns), dict(self.daily)
        for kind, amount in own.items():
            if kind.startswith(COOLDOWN):
                cooldowns[kind.removeprefix(COOLDOWN)] = max(0.0, amount)
            elif kind.startswith(DAILY):
                daily[kind.removeprefix(DAILY)] = math.inf if amount == NONE else amount
        return replace(self, **given, cooldowns=cooldowns, daily=daily)


def _limit(amount: float) -> float | None:
    return None if amount == NONE else amount


@dataclass(frozen=True, slots=True)
class QuotaPolicy:
    """The limits in the settings, for owners without limits of their own."""

    account: Limits = Limits()
    end_user: Limits = Limits()
    roles: frozenset[str] = frozenset({"user"})
    """Roles to which the settings' limits apply; an owner's own limits apply to every role."""
    free: frozenset[str] = frozenset()
    """Owners to which only their own limits apply, such as the operator of the installation."""
    most_jobs: int | None = None
    """Maximum number of open jobs of all owners together."""

    def of(self, owner: str, role: str, own: Mapping[str, float]) -> Limits:
        usual = self.end_user if ":" in owner else self.account
        held = role in self.roles and owner not in self.free
        return (usual if held else Limits()).overridden(own)


@dataclass(frozen=True, slots=True)
class QuotaStatus:
    """The remaining amount of a limit, as shown in the RateLimit headers."""

    name: str
    quota: float
    remaining: float
    after_s: float
    """Seconds until the full quota is available again."""
    window_s: int | None = None


def accounts_of(owner: str) -> tuple[str, ...]:
    """Return the owners whose limits count a request of this owner: itself and its account."""
    account, is_end_user, _ = owner.partition(":")
    return (account, owner) if is_end_user else (owner,)


@dataclass(frozen=True, slots=True)
class Workload:
    """In seconds of estimated work."""

    waiting_s: float
    rate: float
    """Seconds of work done in a second of time; 0 when nothing was done lately."""
