"""Settings: one table of name, default and help; a file; the environment.

Order, later wins: default → `config.yaml` → its `workspaces.NAME` → `CHURN_…` in the environment → arguments.
They are read once, at the entry of a command or of the app, and passed in.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from churn.errors import SettingsError

DEMO = "demo"
_PLACES = ("store", "cache", "data")
_OFF = ("", "off")
_OTHERS = {"CHURN_HOME", "CHURN_SMTP_PASSWORD"}  # variables that are no settings; a secret is no value to be shown or stored
_TABLES = ("source", "outcomes_source", "training_table")
_SWITCH = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def _setting(default: Any, help: str, least: float = -math.inf, most: float = math.inf) -> Any:
    return field(default=default, metadata={"help": help, "least": least, "most": most})


@dataclass(frozen=True)
class Settings:
    """All settings of one workspace. Relative paths are taken from `home`."""

    workspace: str = _setting("default", "Which workspace to use; `demo` holds simulated data and is kept apart.")
    store: str = _setting(
        "models/{workspace}", "Where models, scorings and the log are: a folder, file:// or s3://bucket/prefix."
    )
    data: str = _setting("data/{workspace}", "Folder for tables this workspace makes, such as the demo's.")
    database: str = _setting(
        "",
        "Where what people make is kept, such as campaigns: a database URL of SQLAlchemy's, SQLite or PostgreSQL; empty for the "
        "file `records.sqlite` in the folder of `data`. It is made on first use.",
    )
    mlflow: str = _setting(
        "sqlite:///data/{workspace}/mlflow.sqlite",
        "Where MLflow keeps the runs of trainings and the registry of versions: an SQLite file or the URL of a tracking server; "
        "`off`, or empty in config.yaml, for nowhere.",
    )
    mlflow_wait_s: float = _setting(
        10.0, "How long a command waits at its end for its runs to be kept; what takes longer goes on without it.", least=0
    )
    cache: str = _setting(".cache/{workspace}", "Folder for verified local copies of what the store holds.")
    s3_endpoint: str = _setting("", "Address of an S3-compatible server; empty for AWS itself.")
    s3_region: str = _setting("us-east-1", "Region of the S3 server.")
    s3_connect_timeout_s: float = _setting(3.0, "Seconds to wait for a connection to S3.", least=0.1)
    s3_read_timeout_s: float = _setting(20.0, "Seconds to wait for an answer from S3.", least=0.1)
    s3_attempts: int = _setting(4, "How often a call to S3 is tried, with growing pauses, before it counts as failed.", least=1)
    holdout_share: float = _setting(
        0.2, "Share of customers, chosen by a salted hash of the key, that no training sees.", least=0, most=0.9
    )
    holdout_salt: str = _setting("churn-holdout", "Salt of that hash; change it only to draw another holdout.")
    gate_auc: float = _setting(0.65, "A version is promoted only if its holdout ROC-AUC is at least this.", least=0, most=1)
    gate_ece: float = _setting(
        0.05, "A version is promoted only if its holdout calibration error is at most this.", least=0, most=1
    )
    gate_log_loss_slack: float = _setting(
        0.002,
        "By how much a version's log-loss may exceed the champion's on the same holdout and still count as no worse.",
        least=0,
    )
    seed: int = _setting(7, "Seed of everything random in training.", least=0, most=2**31 - 1)
    slow_reasons: int = _setting(
        1000,
        "How many customers, the riskiest first, get reasons in a scoring when the champion is a scikit-learn estimator, which "
        "takes long to explain; the others get theirs when they are opened.",
    )
    slow_sample: int = _setting(
        1000,
        "How many customers besides, chosen by a hash of the key, get reasons from such a champion: what the explain page makes "
        "its averages from. Four times as many halve their sampling error.",
        least=0,
    )
    trials: int = _setting(20, "How many settings of each candidate the tuning tries.", least=1)
    address: str = _setting("127.0.0.1", "Address the app listens on.")
    port: int = _setting(8501, "Port the app listens on.", least=1, most=65535)
    allow_anonymous: bool = _setting(
        False,
        "Must be said out loud before the app listens beyond this machine: whoever reaches it sees every customer, with contact "
        "data masked.",
    )
    user: str = _setting("", "Who uses the desk, as histories name them; empty for who is logged in on this machine.")
    roles: str = _setting(
        "", "What that person may do besides, separated by commas: `contacts` to take contact data out unmasked. Never others."
    )
    hosts: str = _setting(
        "", "Names under which browsers reach the app, besides this machine's own, separated by commas; others are refused."
    )
    refresh_s: float = _setting(10.0, "Seconds between two looks at the store for a new champion or scoring.", least=0.1)
    log_days: int = _setting(
        0, "How many days `churn log expire` leaves predictions in the log, from the day they are about; 0 keeps them.", least=0
    )
    stale_days: float = _setting(8.0, "After how many days a scoring is called out of date.", least=0)
    assume_acceptance_alpha: float = _setting(
        6.0, "Assumption: α of the Beta law of the share of leavers an offer keeps; 6 with a β of 14 means 30%.", least=1e-6
    )
    assume_acceptance_beta: float = _setting(14.0, "Assumption: β of that law; where both are larger it is surer.", least=1e-6)
    assume_stayers_taking: float = _setting(
        1.0, "Assumption: share of customers who would stay anyway and take an offer all the same.", least=0, most=1
    )
    assume_value_months: float = _setting(12.0, "Assumption: months of a customer's money that keeping them wins.", least=1e-6)
    assume_contact_cost: float = _setting(1.0, "Assumption: cost of reaching one customer, in the schema's currency.", least=0)
    suppression: str = _setting(
        "",
        "Table of customers who must not be called, with the key column: a file, s3:// or a database URL. Where it is missing or "
        "too old no list is made; empty for none.",
    )
    suppression_query: str = _setting("", "SQL to run for that table where it is in a database; sheet name, for XLSX.")
    suppression_days: float = _setting(
        1.0, "How many days old that table may be, by when its file was written; a database is asked anew each time.", least=0
    )
    contact_days: int = _setting(30, "Whoever was contacted within so many days is left off call lists.", least=0)
    source: str = _setting(
        "", "Table of the base that `churn refresh` scores: a file, s3:// or a database URL; empty where each call names it."
    )
    source_query: str = _setting("", "SQL to run for that table where it is in a database; sheet name, for XLSX.")
    outcomes_source: str = _setting(
        "", "Table of outcomes that `churn refresh` imports, as `churn outcomes import` takes them; empty for none."
    )
    outcomes_query: str = _setting("", "SQL to run for the outcomes where they are in a database; sheet name, for XLSX.")
    watch_every: str = _setting("month", "Length of the windows that drift and performance are looked at in: day, week or month.")
    alert_rules: str = _setting(
        "score-drift, column-moved, joint-drift, realised-loss, estimated-loss, bad-data, stale-scoring",
        "What raises an alert, separated by commas; leave out what should not.",
    )
    alert_windows: int = _setting(3, "How many of the latest windows are looked at for whether drift or loss lasts.", least=1)
    alert_needed: int = _setting(
        2, "Drift and loss raise an alert if they are found in at least so many of those windows.", least=1
    )
    alert_weight: float = _setting(
        0.02,
        "A column that has moved raises an alert only if it carries at least this share of what sets risks apart.",
        least=0,
        most=1,
    )
    alert_webhook: str = _setting("", "Address that alerts are posted to as JSON; empty for none. It is never shown.")
    alert_email_to: str = _setting("", "E-mail addresses that alerts are sent to, separated by commas; empty for none.")
    alert_email_from: str = _setting("", "Address that they come from; that of the first recipient unless given.")
    alert_smtp_host: str = _setting("", "Mail server that e-mail is handed to (SMTP).")
    alert_smtp_port: int = _setting(587, "Port of the mail server.", least=1, most=65535)
    alert_smtp_security: str = _setting(
        "starttls", "How that connection is kept private: starttls, tls, or none, which only a server on this machine may be."
    )
    alert_smtp_user: str = _setting("", "User name at that server; the password is read from `CHURN_SMTP_PASSWORD` only.")
    alert_cloudwatch: str = _setting("", "Namespace of the metrics that each watch puts into Amazon CloudWatch; empty for none.")
    alert_timeout_s: float = _setting(10.0, "Seconds to wait for an answer while sending an alert.", least=0.1)
    alert_attempts: int = _setting(
        3, "How often a post is tried, with growing pauses, before the next watch tries again.", least=1
    )
    retrain: str = _setting(
        "promote",
        "What `churn watch` does when a new training is due and the new model is better: promote it, run it in shadow beside the "
        "champion (shadow), or only keep it (keep); no to only say that it is due.",
    )
    training_table: str = _setting(
        "",
        "Table that `churn retrain` trains on: a file, s3:// or a database URL. Where the schema has snapshots, outcomes that "
        "were imported are joined to it.",
    )
    training_query: str = _setting("", "SQL to run for that table where it is in a database; sheet name, for XLSX.")
    retrain_candidates: str = _setting("", "Kinds of model that `churn retrain` compares, separated by commas; empty for all.")
    retrain_least_labels: int = _setting(
        1000, "A new training waits until so many outcomes are known that the champion was not trained on.", least=1
    )
    retrain_cooldown_days: int = _setting(60, "For so many days after the champion changed no new training is due.", least=0)
    retrain_sure: float = _setting(
        0.95,
        "A new model takes over if its log-loss is lower than the champion's in at least this share of resampled holdouts.",
        least=0.5,
        most=1,
    )
    shadow_days: int = _setting(180, "A model in shadow that has not shown itself better after so many days is let go.", least=1)
    return_points: float = _setting(
        5.0,
        "The model before comes back if the risk that the new champion foretold is off by more than so many points, beyond "
        "chance, and the model before is nearer.",
        least=0,
        most=100,
    )
    small_group: int = _setting(50, "Groups of fewer customers are shown as too small to say.", least=0)
    home: Path = field(default=Path(), metadata={"help": "Folder that relative paths start from: that of config.yaml."})

    @property
    def simulated(self) -> bool:
        """Whether everything in this workspace is made up and must say so."""
        return self.workspace == DEMO

    @property
    def keeps_runs(self) -> bool:
        """Whether trainings are kept in MLflow."""
        return self.mlflow not in _OFF

    @classmethod
    def load(
        cls,
        workspace: str | None = None,
        *,
        home: Path | None = None,
        environ: Mapping[str, str] | None = None,
        **given: Any,
    ) -> Settings:
        """Read the settings of one workspace.

        Parameters
        ----------
        workspace: name; else `CHURN_WORKSPACE`, else `config.yaml`, else `default`.
        home: folder of `config.yaml`; else `CHURN_HOME`, else the current folder.
        environ: environment to read; `os.environ` unless given.
        given: settings that override all others (None counts as not given).

        Raises
        ------
        SettingsError: unknown name, or a value of the wrong type; names the place it came from.
        """
        environ = os.environ if environ is None else environ
        home = Path(home or environ.get("CHURN_HOME") or ".").resolve()
        if not home.is_dir():
            raise SettingsError(
                f"there is no folder {home}, where config.yaml and the places in settings would be; create it first"
            )
        document = _read_config(home / "config.yaml")
        per_workspace = document.pop("workspaces", None) or {}
        if not isinstance(per_workspace, dict):
            raise SettingsError("config.yaml: 'workspaces' must be a table of workspace names")
        from_environ = {
            name.removeprefix("CHURN_").lower(): value
            for name, value in environ.items()
            if name.startswith("CHURN_") and name not in _OTHERS and value != ""
        }
        name = workspace or from_environ.get("workspace") or document.get("workspace") or "default"
        if not isinstance(name, str) or not _NAME.fullmatch(name):  # it becomes the name of folders
            raise SettingsError(f"setting 'workspace' must be a name of letters, digits, '-', '_' or '.', not {name!r}")
        own = per_workspace.get(name) or {}
        if not isinstance(own, dict):
            raise SettingsError(f"config.yaml: workspace '{name}' must be a table of setting names and values, not {own!r}")
        layers = [
            ("config.yaml", document),
            (f"config.yaml, workspace '{name}'", own),
            ("the environment", from_environ),
            ("the command", {key: value for key, value in given.items() if value is not None}),
        ]
        values: dict[str, Any] = {}
        for place, layer in layers:
            for key, value in layer.items():
                values[key] = _typed(key, value, place)
        values["workspace"] = str(name)
        if name == DEMO:  # simulated and real data never share a place, whatever the settings say
            for key in (*_PLACES, "database", "suppression", *_TABLES):
                values.pop(key, None)
            if values.get("mlflow") not in _OFF:
                values.pop("mlflow", None)
        defaults = {f.name: f.default for f in fields(cls)}
        for key in _PLACES:
            values[key] = str(values.get(key, defaults[key])).replace("{workspace}", str(name))
        for key in ("database", "mlflow"):
            values[key] = str(values.get(key, defaults[key])).replace("{workspace}", str(name))
        if name != DEMO:
            _keep_out_of_demo(values, home)
        return cls(**values, home=home)

    def path(self, place: str) -> Path:
        """The folder a setting names, absolute: `settings.path("cache")`."""
        return (self.home / str(getattr(self, place)).removeprefix("file://")).resolve()


_REFERENCE = """# Settings

Made from `churn/settings.py` by `python -c "from churn.settings import reference; print(reference(), end='')"`; edit the help
there, not here.

Where a setting comes from, later wins: its default, `config.yaml`, the workspace's own table in `config.yaml`, the environment,
the command's options. An empty variable counts as not given; an unknown name is an error. Relative places start from the folder
of `config.yaml`, which is the current one unless `CHURN_HOME` says otherwise; `{workspace}` stands for the workspace's name.

```yaml
# config.yaml
workspace: shop
workspaces:
  shop:
    store: s3://retention/shop
    stale_days: 2
```

The workspace `demo` keeps its own places whatever the settings say, and no other workspace can be put there.

"""


def reference() -> str:
    """The page of all settings as Markdown: what `docs/settings.md` holds."""
    rows = ["| setting | default | in the environment | what it does |", "|---|---|---|---|"]
    for setting in fields(Settings):
        default = f"`{setting.default}`" if str(setting.default) else "empty"
        rows.append(f"| `{setting.name}` | {default} | `CHURN_{setting.name.upper()}` | {setting.metadata['help']} |")
    return _REFERENCE + "\n".join(rows) + "\n"


def _keep_out_of_demo(values: Mapping[str, Any], home: Path) -> None:
    for key in _PLACES:
        default = next(f.default for f in fields(Settings) if f.name == key)
        demo = (home / str(default).replace("{workspace}", DEMO)).resolve()
        if "://" in values[key] and not values[key].startswith("file://"):
            continue
        place = (home / values[key].removeprefix("file://")).resolve()
        if place == demo or demo in place.parents:
            raise SettingsError(f"setting '{key}' is {values[key]!r}, which belongs to the demo workspace; choose another place")


def _read_config(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise SettingsError(f"{path}{place} is no YAML: {getattr(error, 'problem', None) or error}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is no text in UTF-8; save it as UTF-8") from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}") from error
    if not isinstance(document, dict):
        raise SettingsError("config.yaml must be a table of setting names and values")
    return document


def _typed(name: str, value: Any, place: str) -> Any:
    known = {f.name: f for f in fields(Settings) if f.name != "home"}
    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else f"; the settings are: {', '.join(sorted(known))}"
        raise SettingsError(f"unknown setting '{name}' in {place}{hint}")
    kind: type[Any] = type(known[name].default)
    wrong = SettingsError(f"setting '{name}' in {place} must be {_kind_name(kind)}, not {value!r}")
    if kind is bool:
        if str(value).lower() not in _SWITCH:
            raise wrong
        return _SWITCH[str(value).lower()]
    if isinstance(value, bool) or value is None or isinstance(value, (dict, list)):
        raise wrong
    try:
        typed = kind(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise wrong from error
    if kind is str:
        return typed
    if not math.isfinite(typed) or (isinstance(value, float) and typed != value):  # 5.7 is no whole number
        raise wrong
    least, most = known[name].metadata["least"], known[name].metadata["most"]
    if not least <= typed <= most:
        limits = f"at least {least:g}" if most == math.inf else f"from {least:g} to {most:.10g}"
        raise SettingsError(f"setting '{name}' in {place} must be {limits}, not {value!r}")
    return typed


def _kind_name(kind: type) -> str:
    return {int: "a whole number", float: "a number", bool: "yes or no"}.get(kind, "a text")
