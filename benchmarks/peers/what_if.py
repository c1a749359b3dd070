"""explainerdashboard and DiCE as peers, in an environment of their own, each used as its documentation shows.

Run by benchmarks/what_if.py as: what_if.py TABLE.csv ASKED.json RESULT.json. It needs nothing of churn. ASKED says which columns
are what, how the LightGBM model is trained, which edits to show and for which customers to seek counterfactuals.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")


def _model(asked: dict[str, Any]) -> Any:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(**asked["lightgbm"])


def what_if(table: pd.DataFrame, left: pd.Series, asked: dict[str, Any]) -> dict[str, Any]:
    """CPU milliseconds from an edit to the prediction table and the figure of contributions, one for each edit."""
    from explainerdashboard import ClassifierExplainer

    categories = asked["categories"]
    wide = pd.get_dummies(table, columns=categories).astype(float)
    model = _model(asked).fit(wide, left)
    groups = {name: [column for column in wide.columns if column.startswith(f"{name}_")] for name in categories}
    explainer = ClassifierExplainer(model, wide, left, cats=groups, labels=["stayed", "left"])
    start = time.process_time()
    explainer.get_shap_values_df()  # what the dashboard works out when it starts
    explainer.get_mean_abs_shap_df()
    started = time.process_time() - start
    merged = explainer.X_merged
    times = []
    for place, changes in asked["edits"]:
        row = merged.iloc[place].copy()
        for name, value in changes.items():
            row[name] = f"{name}_{value}" if name in categories else value
        inputs = [row[name] for name in explainer.merged_cols]
        start = time.process_time()
        edited = explainer.get_row_from_input(inputs)
        explainer.prediction_result_df(X_row=edited)
        explainer.plot_contributions(X_row=edited)
        times.append((time.process_time() - start) * 1000)
    return {"what_if_ms": times, "start_s": started}


def counterfactuals(table: pd.DataFrame, left: pd.Series, asked: dict[str, Any]) -> dict[str, Any]:
    """By method: CPU milliseconds for five counterfactuals of each customer below a risk of one half, and what was suggested."""
    import dice_ml
    from sklearn.compose import make_column_transformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    encoder = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), asked["categories"]), remainder="passthrough"
    )
    pipeline = make_pipeline(encoder, _model(asked)).fit(table, left)
    data = dice_ml.Data(dataframe=table.assign(left=left), continuous_features=asked["numbers"], outcome_name="left")
    said = dice_ml.Model(model=pipeline, backend="sklearn")
    return {method: _suggested(dice_ml.Dice(data, said, method=method), table, asked, method) for method in asked["customers"]}


def _suggested(dice: Any, table: pd.DataFrame, asked: dict[str, Any], method: str) -> dict[str, Any]:
    from raiutils.exceptions import UserConfigValidationException

    times, suggested, failed = [], [], 0
    for place in asked["customers"][method]:
        query = table.iloc[[place]]
        seed = {"random_seed": 7} if method == "random" else {}
        start = time.process_time()
        try:
            found = dice.generate_counterfactuals(
                query, total_CFs=5, desired_class=0, features_to_vary=asked["editable"], verbose=False, **seed
            )
            rows = found.cf_examples_list[0].final_cfs_df
        except UserConfigValidationException:  # it says so where it finds none
            rows, failed = None, failed + 1
        times.append((time.process_time() - start) * 1000)
        if rows is not None:
            suggested += [[place, row] for row in rows.drop(columns="left").to_dict("records")]
    return {"ms": times, "suggested": suggested, "failed": failed}


def main(table: str, asked: str, to: str) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    random.seed(7)
    np.random.seed(7)
    wanted = json.loads(Path(asked).read_text(encoding="utf-8"))
    text = dict.fromkeys(wanted["categories"], str)
    frame = pd.read_csv(table, dtype=text, keep_default_na=False, na_values={name: [""] for name in wanted["numbers"]})
    frame[wanted["numbers"]] = frame[wanted["numbers"]].astype(float).fillna(0.0)  # neither takes missing values everywhere
    left = frame.pop(wanted["target"]).astype(int)
    result = {**what_if(frame, left, wanted), "counterfactuals": counterfactuals(frame, left, wanted)}
    Path(to).write_text(json.dumps(result, default=float), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:4])
