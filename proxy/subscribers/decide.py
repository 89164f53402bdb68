"""On which terms a request is served.

In: a subscriber (None: nobody known), what they used, the time, whether the link is congested, the operator's rules.
Out: `Serve` with a tier, or `Refuse` with what to tell the person. Refuses: nothing; every case has an answer.

The order is: who is unknown, then a quota that ends service, then consent, then what the subscriber chose, then a quota
that lowers the tier, then the schedule. Who did not consent, or chose `off`, gets originals whatever else holds: nobody
is moved to pictures that are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from proxy.config import TIERS
from proxy.subscribers.account import Subscriber
from proxy.subscribers.quota import Used, UsedUp, used_up

ECONOMY, _, _, OFF = TIERS


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator decided. `consent_version` empty: consent is kept elsewhere. `unknown` and `when_used_up` may
    be `refuse`, or the tier that holds then; `outside` is the tier outside of a schedule."""

    unknown: str = "refuse"
    consent_version: str = ""
    when_used_up: str = ECONOMY
    outside: str = OFF


@dataclass(frozen=True, slots=True)
class Serve:
    """Answer on these terms; `why` is a short reason for logs and lists."""

    tier: str
    why: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with a page; `again` is when it may be tried again, `opens` whether TLS may be opened to show it."""

    status: int
    why: str
    advice: str
    again: datetime | None = None
    opens: bool = False


Verdict = Serve | Refuse


def decide(subscriber: Subscriber | None, spent: Used, now: datetime, congested: bool, rules: Rules) -> Verdict:
    """The terms for one request at `now`, a time of the operator's zone."""
    if subscriber is None:
        if rules.unknown != "refuse":
            return Serve(rules.unknown, "unknown")
        return Refuse(403, "This proxy serves its subscribers only, and does not know you.", "Ask who runs this proxy.")
    over = used_up(subscriber.quota, spent, now)
    if over is not None and rules.when_used_up == "refuse":
        return _used_up(over, opens=has_consented(subscriber, rules) and subscriber.tier != OFF)
    if not has_consented(subscriber, rules):
        return Serve(OFF, "no consent")
    if subscriber.tier == OFF:
        return Serve(OFF, "chosen")
    if over is not None:
        return Serve(rules.when_used_up, f"{over.period} used up")
    if not subscriber.schedule.is_open(now, congested):
        return Serve(rules.outside, "outside the schedule")
    return Serve(subscriber.tier, "chosen")


def has_consented(subscriber: Subscriber, rules: Rules) -> bool:
    """Whether the subscriber agreed to the text that is asked for, if one is."""
    return not rules.consent_version or (
        subscriber.consent is not None and subscriber.consent.version == rules.consent_version
    )


def _used_up(over: UsedUp, opens: bool) -> Refuse:
    again = over.again.strftime("%Y-%m-%d %H:%M %Z").strip()
    what = "today" if over.period == "day" else "this month"
    why = f"The data volume that your subscription includes is used up for {what}."
    return Refuse(429, why, f"There is a new one from {again}. Ask who runs this proxy about more.", over.again, opens)
