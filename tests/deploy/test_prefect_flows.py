"""The Prefect flows, where Prefect is installed: they call the command, and know what is worth another try."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("prefect", reason="Prefect is not installed here; it has an environment of its own")
FLOWS = Path(__file__).resolve().parents[2] / "deploy" / "prefect_flows.py"


@pytest.fixture(scope="module")
def flows() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prefect_flows", FLOWS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _command(tmp_path: Path, body: str) -> str:
    script = tmp_path / "churn.py"
    script.write_text(body)
    return f"{sys.executable} {script}"


def test_the_document_comes_back(flows: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "import json, sys; print(json.dumps({'asked': sys.argv[1:], 'problems': []}))"
    monkeypatch.setenv("CHURN_COMMAND", _command(tmp_path, said))
    assert flows.churn.fn(*flows._of("shop"), "refresh")["asked"] == ["--workspace", "shop", "refresh", "--json"]


@pytest.mark.parametrize(("document", "again"), [({"error": "the store is away"}, True), ({"held": "2026-11-28-ab"}, False)])
def test_what_is_worth_another_try(
    flows: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, document: dict[str, Any], again: bool
) -> None:
    monkeypatch.setenv("CHURN_COMMAND", _command(tmp_path, f"import json, sys; print(json.dumps({document!r})); sys.exit(2)"))
    with pytest.raises(flows.NotDone) as raised:
        flows.churn.fn("refresh")
    state = SimpleNamespace(result=lambda raise_on_failure: raised.value)
    assert flows._worth_another_try(None, None, state) is again
