"""The reference pages say everything there is, and nothing else."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from churn.data import demo, schema
from churn.settings import Settings, reference

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = (REPOSITORY / "docs" / "schema.md").read_text(encoding="utf-8")
MODELS = [
    model
    for model in vars(schema).values()
    if isinstance(model, type) and issubclass(model, schema._Part) and model is not schema._Part
]


def test_every_setting_has_a_help_that_ends_as_a_sentence() -> None:
    for setting in fields(Settings):
        assert re.fullmatch(r".{15,}[.]", setting.metadata["help"]), setting.name
        assert "|" not in setting.metadata["help"], setting.name


def test_the_settings_page_is_not_stale() -> None:
    page = (REPOSITORY / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == reference(), "docs/settings.md is stale; its second paragraph says how to make it anew"


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_entry_of_the_schema_is_documented(model: type[schema._Part]) -> None:
    section = re.search(rf"^## {model.__name__}$(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert section, f"docs/schema.md has no section for {model.__name__}"
    entries = re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \|$", section[1], flags=re.MULTILINE)
    assert [name for name, _ in entries] == list(model.model_fields)
    for name, default in entries:
        assert (default == "required") == model.model_fields[name].is_required(), name


def test_the_example_shows_every_entry_but_a_few() -> None:
    """The demo's schema is what people copy from: whatever it leaves out has to be chosen, not forgotten."""
    shown = yaml.safe_load(demo.SCHEMA.read_text(encoding="utf-8"))

    def names(part: object) -> set[str]:
        if isinstance(part, dict):
            return set(part) | {name for value in part.values() for name in names(value)}
        return {name for value in part for name in names(value)} if isinstance(part, (list, tuple)) else set()

    entries = {name for model in MODELS for name in model.model_fields}
    assert entries - names(shown) == {"excluded", "why", "evidence"}  # it has no column to leave out


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/schema.md", "docs/settings.md", "data/README.md"]
)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    path = REPOSITORY / page
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]*)(?:#[^)]*)?\)", text):
        if target and "://" not in target and not target.endswith(".png"):
            assert (path.parent / target).exists(), target
    for anchor in re.findall(r"\]\(#([^)]*)\)", text):
        assert re.search(rf"^## {anchor}$", text, flags=re.MULTILINE | re.IGNORECASE), anchor
