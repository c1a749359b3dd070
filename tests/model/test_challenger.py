"""The version that runs in shadow: one conditional write, as the champion is."""

from __future__ import annotations
