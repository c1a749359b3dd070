"""Small tables of words and figures, as the pages about the model have them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow
import streamlit as st

from churn import words
from churn.charts import theme

RIGHT = st.column_config.TextColumn(alignment="right")
_ROWS = 12  # of a table before it scrolls
_ROW_PX, _LINE_PX = 35, 22
_SENTENCES_PX = 480  # a column of sentences
_LOOSE = 1.15  # words do not fill a line
_MOST_LINES = 6
Columns = Mapping[str, Sequence[str | None]]


def table(columns: Columns, config: Mapping[str, Any], alt: str, *, most: int = _ROWS, wrapped: str | None = None) -> None:
    """Draw columns of texts; more than `most` rows scroll. Rows are as high as the column of sentences, `wrapped`, needs."""
    rows = len(next(iter(columns.values())))
    widest = max((theme.width(text or "") for text in columns[wrapped]), default=0.0) if wrapped else 0.0
    lines = min(math.ceil(widest * _LOOSE / _SENTENCES_PX), _MOST_LINES)
    height = _ROW_PX + max(lines - 1, 0) * _LINE_PX
    config = {**config, wrapped: st.column_config.TextColumn(width=_SENTENCES_PX + 16)} if wrapped else config
    st.dataframe(
        pyarrow.table({name: pyarrow.array(values, pyarrow.string()) for name, values in columns.items()}),
        column_config=dict(config),
        hide_index=True,
        row_height=height,
        height="content" if rows <= most else (most + 1) * height,
        placeholder=words.NOTHING,
        alt=alt,
    )
