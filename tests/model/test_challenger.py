"""The version that runs in shadow: one conditional write, as the champion is."""

from __future__ import annotations

from pathlib import Path

import pytest

from churn.errors import NotInStore, PromotionRefused, StoreConflict, StoreUnavailable
from churn.model.registry import Registry
from churn.model.store import open_store
from churn.settings import Settings

from .model_samples import publish_two
