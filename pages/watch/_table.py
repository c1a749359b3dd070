"""Small tables of words and figures, as the pages about the model have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow
import streamlit as st

from churn import words

RIGHT = st.column_config.TextColumn(alignment="right")
_ROWS = 12  # of a table before it scrolls
_ROW_PX = 35
Columns = Mapping[str, Sequence[str | None]]


def table(columns: Columns, config: Mapping[str, Any], alt: str, *, most: int = _ROWS) -> None:
    """Draw columns of texts; more than `most` rows scroll."""
    rows = len(next(iter(columns.values())))
    st.dataframe(
        pyarrow.table({name: pyarrow.array(values, pyarrow.string()) for name, values in columns.items()}),
        column_config=dict(config),
        hide_index=True,
        height="content" if rows <= most else (most + 1) * _ROW_PX,
        placeholder=words.NOTHING,
        alt=alt,
    )
