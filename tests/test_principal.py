"""Who uses the desk: one person on this machine, nobody in particular beyond it."""

from __future__ import annotations

import getpass
from typing import Any

import pytest

from churn.errors import SettingsError
from churn.principal import ANONYMOUS, CONTACTS, person, visitor
from churn.settings import Settings


def _settings(**given: Any) -> Settings:
    return Settings.load(environ={}, **given)


def test_on_this_machine_it_is_who_the_settings_name() -> None:
    named = _settings(user="Ada", roles=f" {CONTACTS} ")
    for one in (person(named), visitor(named), visitor(named, "::1")):
        assert one.name == "Ada"
        assert one.may(CONTACTS)
    assert person(_settings()).name == getpass.getuser()
    assert not visitor(_settings()).may(CONTACTS)


@pytest.mark.parametrize("address", ["0.0.0.0", "10.0.0.1", "desk.example.com", "::", ""])
def test_beyond_it_nobody_is_known_and_none_has_a_role(address: str) -> None:
    named = {"user": "Ada", "roles": CONTACTS}
    with pytest.raises(SettingsError, match=r"would see every customer.*allow_anonymous"):
        visitor(_settings(**named), address)
    stranger = visitor(_settings(**named, allow_anonymous=True), address)
    assert stranger.name == ANONYMOUS
    assert not stranger.may(CONTACTS)
    assert person(_settings(**named, address=address)).name == "Ada"  # the command runs on this machine


def test_a_role_there_is_none_of_is_named() -> None:
    with pytest.raises(SettingsError, match=r"'roles' names 'admin'; the roles are: contacts"):
        visitor(_settings(roles="contacts, admin"))
