"""Who uses the desk, and what they may do. For now one person for the whole desk, named in the settings.

Beyond this machine nobody is known: whoever reaches the address is anonymous, which has to be said out loud
(`allow_anonymous`) and carries no role at all.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterable
from dataclasses import dataclass

from churn.errors import SettingsError
from churn.settings import Settings

CONTACTS = "contacts"
ROLES = {CONTACTS: "take contact data out of the desk unmasked, in a recorded export"}
ANONYMOUS = "anonymous"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking. Everybody sees customers and figures, contact data masked; `roles` allow more."""

    name: str
    roles: frozenset[str] = frozenset()

    def may(self, role: str) -> bool:
        return role in self.roles


def person(settings: Settings) -> Principal:
    """Who gives a command on this machine. Raises SettingsError for a role there is none of."""
    return Principal(settings.user or _logged_in(), _roles(settings.roles.split(",")))


def visitor(settings: Settings, address: str | None = None) -> Principal:
    """Who opens the app, listening at `settings.address`, or at `address` where something else decides that.

    Raises SettingsError as `person`, and where others than this machine reach that address although nobody said that anonymous
    visitors are welcome.
    """
    address = settings.address if address is None else address
    if address in _LOOPBACK:
        return person(settings)
    if not settings.allow_anonymous:
        raise SettingsError(
            f"setting 'address' is {address!r}: whoever reaches it would see every customer, as the desk asks nobody to sign in; "
            "set 'allow_anonymous' to yes if that is meant, or use 127.0.0.1"
        )
    return Principal(ANONYMOUS)


def _roles(named: Iterable[str]) -> frozenset[str]:
    found = frozenset(name for role in named if (name := role.strip()))
    if unknown := sorted(found - ROLES.keys()):
        raise SettingsError(f"setting 'roles' names {unknown[0]!r}; the roles are: {', '.join(ROLES)}")
    return found


def _logged_in() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a user database
        return "unknown"
