"""The frame: page config, the pair, navigation, filters — then the page."""

from __future__ import annotations

import streamlit as st

from churn.errors import ChurnError
from pages.shared import data, widgets

# Streamlit fetches an icon given to `st.Page` from a server of Google's to make a favicon of it: the menu draws them instead.
OVERVIEW = st.Page(widgets.OVERVIEW, title="Overview", default=True)
COHORTS = st.Page(widgets.COHORTS, title="Cohorts", url_path="cohorts")
EXPLAIN = st.Page(widgets.EXPLAIN, title="Explain", url_path="explain")
RETENTION = st.Page(widgets.RETENTION, title="Retention", url_path="retention")
CUSTOMER = st.Page(widgets.CUSTOMER, title="Customer", url_path="customer")
VALUE = st.Page(widgets.VALUE, title="Value", url_path="value")
CALL_LIST = st.Page("pages/act/call_list.py", title="Call list", url_path="call-list")
CAMPAIGNS = st.Page("pages/act/campaigns.py", title="Campaigns", url_path="campaigns")
SCORE_FILE = st.Page("pages/act/score_file.py", title="Score a file", url_path="score-file")
DRIFT = st.Page("pages/watch/drift.py", title="Drift", url_path="drift")
PERFORMANCE = st.Page("pages/watch/performance.py", title="Performance", url_path="performance")
CHAMPION = st.Page("pages/watch/champion.py", title="Champion", url_path="champion")
MENU = {
    "Understand": (
        (OVERVIEW, ":material/space_dashboard:"),
        (COHORTS, ":material/grid_view:"),
        (EXPLAIN, ":material/insights:"),
        (RETENTION, ":material/trending_down:"),
    ),
    "Act": (
        (CUSTOMER, ":material/person_search:"),
        (VALUE, ":material/payments:"),
        (CALL_LIST, ":material/call:"),
        (CAMPAIGNS, ":material/campaign:"),
        (SCORE_FILE, ":material/upload_file:"),
    ),
    "Watch": (
        (DRIFT, ":material/timeline:"),
        (PERFORMANCE, ":material/speed:"),
        (CHAMPION, ":material/workspace_premium:"),
    ),
}

# about the model, a file or a list that was made, not about chosen customers
WHOLE = (CAMPAIGNS, SCORE_FILE, DRIFT, PERFORMANCE, CHAMPION)


def frame() -> None:
    page = st.navigation([entry for section in MENU.values() for entry, _ in section], position="hidden")
    widgets.dress(page.title)
    widgets.menu(MENU)
    try:
        with widgets.loading(wait=data.desk().pair is None):
            pair = data.begin()
        if pair is None:
            widgets.nothing_to_show(data.desk())
            return
        chosen = widgets.filters(pair, idle=page in WHOLE)
        data.use(pair, chosen)
        widgets.frame_line(page.title, pair, chosen)
        widgets.follow(pair)
        page.run()
    except ChurnError as error:
        widgets.failed(error)


frame()
