"""Limits: how much an owner may ask for, and what is left of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

REQUESTS, JOBS, MEGAPIXELS = "requests", "jobs", "megapixels"
COOLDOWN = "cooldown:"
"""Followed by a recipe's name: seconds between two submits of it."""
DAILY = "daily:"
"""Followed by a recipe's name: jobs of it a day."""
KINDS = (REQUESTS, JOBS, MEGAPIXELS)
NONE = -1.0
"""As an owner's own limit: none, whatever the settings say."""

MINUTE_S, DAY_S = 60, 86_400


@dataclass(frozen=True, slots=True)
class Limits:
    """None: no limit."""

    requests: float | None = None
    """A minute of the clock."""
    jobs: float | None = None
    """In flight: waiting, queued and running."""
    megapixels: float | None = None
    """A day, in UTC."""
    cooldowns: Mapping[str, float] = field(default_factory=dict[str, float])
    """Seconds between two submits, by recipe."""
    daily: Mapping[str, float] = field(default_factory=dict[str, float])
    """Jobs a day, in UTC, by recipe."""

    def overridden(self, own: Mapping[str, float]) -> "Limits":
        """With the limits an owner has of its own."""
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
    """What the settings say of owners without limits of their own."""

    account: Limits = Limits()
    end_user: Limits = Limits()
    roles: frozenset[str] = frozenset({"user"})
    """Roles the settings' limits hold for; an owner's own hold for all."""
    free: frozenset[str] = frozenset()
    """Owners whom only limits of their own hold: whoever runs the installation."""
    most_jobs: int | None = None
    """Open jobs of all owners together."""

    def of(self, owner: str, role: str, own: Mapping[str, float]) -> Limits:
        usual = self.end_user if ":" in owner else self.account
        held = role in self.roles and owner not in self.free
        return (usual if held else Limits()).overridden(own)


@dataclass(frozen=True, slots=True)
class QuotaStatus:
    """What is left of a limit, as the RateLimit headers tell it."""

    name: str
    quota: float
    remaining: float
    after_s: float
    """Until it is whole again."""
    window_s: int | None = None


def accounts_of(owner: str) -> tuple[str, ...]:
    """Whose limits a request of the owner counts for: its own, and its account's."""
    account, is_end_user, _ = owner.partition(":")
    return (account, owner) if is_end_user else (owner,)


@dataclass(frozen=True, slots=True)
class Workload:
    """In seconds of estimated work."""

    waiting_s: float
    rate: float
    """Seconds of work done in a second of time; 0 when nothing was done lately."""
