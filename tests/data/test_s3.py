"""The door to S3: what its errors mean, in words."""

from __future__ import annotations

import pytest

from churn.data import s3
from churn.data.source import read_table
from churn.errors import ChurnError, NotInStore, SettingsError, StoreConflict, StoreUnavailable
from churn.settings import Settings


def test_addresses_are_split_into_bucket_and_key() -> None:
    assert s3.split("s3://desk/in/table.csv") == ("desk", "in/table.csv")
    assert s3.split("s3://desk") == ("desk", "")


def test_s3_conditions_and_wrong_addresses_come_out_in_words(s3_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    client = s3.client(s3_settings)
    client.create_bucket(Bucket="race")
    client.put_object(Bucket="race", Key="k", Body=b"1")
    with pytest.raises(StoreConflict, match="somebody else changed it first"), s3.calling("s3://race/k"):
        client.put_object(Bucket="race", Key="k", Body=b"2", IfNoneMatch="*")
    with pytest.raises(StoreUnavailable, match="no connection"):
        read_table("s3://desk/t.csv", settings=Settings(s3_endpoint="http://127.0.0.1:1", s3_attempts=1))
    with pytest.raises(SettingsError, match="s3_endpoint"):
        read_table("s3://desk/t.csv", settings=Settings(s3_endpoint="not an address"))
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(StoreUnavailable, match="AWS_PROFILE"):
        s3.client(s3_settings)


@pytest.mark.parametrize(
    ("code", "status", "kind", "says"),
    [
        ("ExpiredToken", 400, StoreUnavailable, "have expired"),
        ("InvalidAccessKeyId", 403, StoreUnavailable, "does not accept these credentials"),
        ("SignatureDoesNotMatch", 403, StoreUnavailable, "does not accept these credentials"),
        ("AccessDenied", 403, StoreUnavailable, "access denied"),
        ("403", 403, StoreUnavailable, "access denied"),
        ("404", 404, NotInStore, "no such object"),
        ("NoSuchBucket", 404, StoreUnavailable, "bucket does not exist"),
        ("PreconditionFailed", 412, StoreConflict, "changed it first"),
        ("ConditionalRequestConflict", 409, StoreConflict, "changed it first"),
        ("SlowDown", 503, StoreUnavailable, "busy"),
        ("PermanentRedirect", 301, StoreUnavailable, "another region"),
        ("NotImplemented", 501, StoreUnavailable, "conditional writes"),
        ("RequestTimeTooSkewed", 403, StoreUnavailable, "clock"),
        ("Unheard", 418, StoreUnavailable, "refused"),
    ],
)
def test_answers_of_s3_are_translated(code: str, status: int, kind: type[ChurnError], says: str) -> None:
    from botocore.exceptions import ClientError

    answer = {"Error": {"Code": code, "Message": "As it says."}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error = s3.translate(ClientError(answer, "GetObject"), "s3://desk/k")
    assert type(error) is kind
    assert says in str(error)
    assert str(error).startswith("s3://desk/k: ")


@pytest.mark.parametrize(
    "error",
    [
        "NoCredentialsError()",
        "ReadTimeoutError(endpoint_url='x')",
        "EndpointConnectionError(endpoint_url='x')",
        "SSLError(endpoint_url='x', error='y')",
    ],
)
def test_no_answer_of_s3_is_translated(error: str) -> None:
    from botocore import exceptions

    name, _, rest = error.partition("(")
    made = eval(f"kind({rest}", {"kind": getattr(exceptions, name)})
    assert isinstance(s3.translate(made, "s3://desk"), StoreUnavailable)


def test_metrics_are_put_into_cloudwatch(s3_address: str, s3_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3

    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", s3_address)
    workspace = [{"Name": "Workspace", "Value": "shop"}]
    s3.put_metrics(s3_settings, "Desk", [{"MetricName": "OpenAlerts", "Unit": "Count", "Value": 2, "Dimensions": workspace}])
    (kept,) = boto3.client("cloudwatch", region_name="us-east-1").list_metrics(Namespace="Desk")["Metrics"]
    assert (kept["MetricName"], kept["Dimensions"]) == ("OpenAlerts", workspace)
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", "http://127.0.0.1:9")
    with pytest.raises(StoreUnavailable, match="Amazon CloudWatch"):
        s3.put_metrics(Settings(alert_attempts=1, alert_timeout_s=1.0), "Desk", [])
