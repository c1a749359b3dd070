"""Where a setting comes from, what it may be, and that the demo's places are nobody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from churn.errors import SettingsError
from churn.settings import Settings


def _load(
    home: Path, text: str = "", environ: dict[str, str] | None = None, workspace: str | None = None, **given: object
) -> Settings:
    (home / "config.yaml").write_text(text, encoding="utf-8")
    return Settings.load(workspace, home=home, environ=environ or {}, **given)


def test_later_places_win(tmp_path: Path) -> None:
    text = "port: 1001\nseed: 1\ntrials: 1\nworkspaces: {default: {seed: 2, trials: 2}, shop: {seed: 9}}"
    settings = _load(tmp_path, text, {"CHURN_TRIALS": "3", "CHURN_STORE": ""}, port=None, small_group=4)
    assert (settings.port, settings.seed, settings.trials, settings.small_group) == (1001, 2, 3, 4)
    assert settings.store == "models/default"  # an empty variable counts as not given
    assert _load(tmp_path, text, workspace="shop").seed == 9
    assert _load(tmp_path, "workspace: shop\n" + text).path("store") == tmp_path / "models" / "shop"
    assert _load(tmp_path, text, {"CHURN_WORKSPACE": "other"}).workspace == "other"


def test_no_file_is_no_problem_and_a_home_that_is_none_is(tmp_path: Path) -> None:
    assert Settings.load(home=tmp_path, environ={}).workspace == "default"
    assert Settings.load(environ={"CHURN_HOME": str(tmp_path)}).home == tmp_path
    for place in (tmp_path / "none", tmp_path / "file"):
        (tmp_path / "file").touch()
        with pytest.raises(SettingsError, match="there is no folder"):
            Settings.load(home=place, environ={})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- a", "must be a table of setting names and values"),
        ("a: [", "config.yaml, line 1 is no YAML"),
        ("workspaces: 3", "'workspaces' must be a table of workspace names"),
        ("workspaces: {default: 3}", "workspace 'default' must be a table of setting names and values, not 3"),
        ("workspaces: {default: [store]}", "workspace 'default' must be a table"),
        ("workspace: [a]", "setting 'workspace' must be a name of letters"),
        ("workspace: ../x", "setting 'workspace' must be a name of letters"),
        ("prot: 1", r"unknown setting 'prot' in config\.yaml; did you mean 'port'\?"),
        ("1: 2", r"unknown setting '1' in config\.yaml; the settings are: address, "),
        ("home: x", "unknown setting 'home'"),
        ("port: none", "'port' in config.yaml must be a whole number, not 'none'"),
        ("port: 80.5", r"must be a whole number, not 80\.5"),
        ("port: yes", "must be a whole number, not True"),
        ("port: 0", "'port' in config.yaml must be from 1 to 65535, not 0"),
        ("port: 65536", "must be from 1 to 65535"),
        ("s3_attempts: 0", "must be at least 1, not 0"),
        ("holdout_share: 1.5", r"must be from 0 to 0\.9, not 1\.5"),
        ("gate_auc: .nan", "must be a number, not nan"),
        ("gate_ece: .inf", "must be a number, not inf"),
        ("seed: -1", "must be from 0 to 2147483647, not -1"),
        ("store: [a]", r"must be a text, not \['a'\]"),
        ("store:", "must be a text, not None"),
        ("allow_anonymous: perhaps", "must be yes or no, not 'perhaps'"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        _load(tmp_path, text)


@pytest.mark.parametrize("value", ["no", "No", "false", "0"])
def test_no_means_no(tmp_path: Path, value: str) -> None:
    assert _load(tmp_path, f"allow_anonymous: {value}").allow_anonymous is False
    assert _load(tmp_path, "allow_anonymous: yes", {"CHURN_ALLOW_ANONYMOUS": value}).allow_anonymous is False
    assert _load(tmp_path, "", {"CHURN_ALLOW_ANONYMOUS": "yes"}).allow_anonymous is True


@pytest.mark.parametrize("setting", ["store", "cache", "data"])
@pytest.mark.parametrize("form", ["{}", "file://{}", "./x/../{}", "{}/inside"])
def test_no_workspace_takes_a_place_of_the_demo(tmp_path: Path, setting: str, form: str) -> None:
    place = form.format({"store": "models/demo", "cache": ".cache/demo", "data": "data/demo"}[setting])
    with pytest.raises(SettingsError, match=f"'{setting}' is .* which belongs to the demo workspace"):
        _load(tmp_path, f"{setting}: {place}")


def test_the_demo_keeps_its_places_whatever_the_settings_say(tmp_path: Path) -> None:
    text = "store: s3://desk/real\ndata: /srv/data\nworkspaces: {demo: {store: models/default, cache: x}}"
    settings = _load(tmp_path, text, {"CHURN_STORE": "/srv/real"}, workspace="demo", store="elsewhere")
    assert (settings.store, settings.data, settings.cache) == ("models/demo", "data/demo", ".cache/demo")
    assert settings.simulated
    assert not _load(tmp_path).simulated


def test_the_demo_keeps_its_records_to_itself(tmp_path: Path) -> None:
    text = "database: sqlite:///kept/{workspace}.db"
    assert _load(tmp_path, text, workspace="shop").database == "sqlite:///kept/shop.db"
    assert _load(tmp_path, text, workspace="demo").database == ""
