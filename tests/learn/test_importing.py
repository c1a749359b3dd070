"""What a model that was trained elsewhere is called."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from churn.learn.importing import kind_of

SEARCHED = GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__C": [1.0]}, cv=2)


@pytest.mark.parametrize(
    ("estimator", "called"),
    [
        (RandomForestClassifier(), "Random forest"),
        (make_pipeline(StandardScaler(), make_pipeline(ExtraTreesClassifier())), "Extra trees"),
        (HistGradientBoostingClassifier(), "Histogram gradient boosting"),
        (LogisticRegressionCV(), "Logistic regression"),
        (MLPClassifier(), "MLP"),
        (CalibratedClassifierCV(make_pipeline(RandomForestClassifier())), "Random forest, calibrated"),
        (SEARCHED.fit([[0.0], [1.0], [0.0], [1.0]], [0, 1, 0, 1]), "Logistic regression"),
    ],
)
def test_a_class_has_a_name_for_people(estimator: Any, called: str) -> None:
    assert kind_of(estimator) == called


@pytest.mark.parametrize("name", ["Classifier", "ClassifierCV", "Odd"])
def test_any_class_has_some_name(name: str) -> None:
    assert kind_of(type(name, (), {})())[0].isupper()
