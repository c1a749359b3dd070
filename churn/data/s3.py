"""The one door to boto3: a client from the settings, and botocore's errors in plain words.

Used by `churn.data.source` to read tables, by the model store to keep versions, and by the watch to put metrics.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from churn.errors import ChurnError, NotInStore, SettingsError, StoreConflict, StoreUnavailable
from churn.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_MISSING_KEY = {"NoSuchKey", "404", "NotFound", "NoSuchVersion"}
_CONFLICT = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409", "OperationAborted"}
_WRONG_CREDENTIALS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthFailure", "InvalidClientTokenId", "InvalidToken"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}
_DENIED = {"AccessDenied", "403", "Forbidden", "AllAccessDisabled", "AccountProblem"}
_BUSY = {
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "InternalError",
    "500",
    "503",
}
_ELSEWHERE = {"PermanentRedirect", "301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
_FULL = {"XMinioStorageFull", "QuotaExceeded", "EntityTooLarge"}


def split(url: str) -> tuple[str, str]:
    """Bucket and key of `s3://bucket/key`; the key may be empty.

    >>> split("s3://desk/tables/base.csv")
    ('desk', 'tables/base.csv')
    """
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key


def client(settings: Settings) -> S3Client:
    """An S3 client with the settings' endpoint, region, time-outs and retries (standard mode: growing pauses).

    Credentials come from where boto3 looks for them (environment, profile, instance role). Servers other than AWS are
    addressed with the bucket in the path, and are sent only the checksums that S3 asks for.

    Raises
    ------
    SettingsError: the endpoint is no address. StoreUnavailable: the credentials' profile is unknown or broken.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    config = Config(
        connect_timeout=settings.s3_connect_timeout_s,
        read_timeout=settings.s3_read_timeout_s,
        retries={"total_max_attempts": max(1, settings.s3_attempts), "mode": "standard"},
        s3={"addressing_style": "path" if settings.s3_endpoint else "auto"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        tcp_keepalive=True,
    )
    try:
        # a session of its own: boto3's default session is not safe to share between threads
        return boto3.session.Session().client(
            "s3", endpoint_url=settings.s3_endpoint or None, region_name=settings.s3_region or None, config=config
        )
    except ValueError as error:  # botocore: "Invalid endpoint: …"
        raise SettingsError(
            f"setting 's3_endpoint' must be an address such as https://host:port, not {settings.s3_endpoint!r}"
        ) from error
    except BotoCoreError as error:
        raise translate(error, f"S3 at {settings.s3_endpoint or 'AWS'}") from error


def put_metrics(settings: Settings, namespace: str, metrics: list[dict[str, Any]]) -> None:
    """Put figures into Amazon CloudWatch, in the settings' region, within `alert_timeout_s` a try.

    metrics: as `PutMetricData` takes them: `MetricName`, `Value`, `Unit`, `Dimensions`.

    Raises StoreUnavailable where it cannot be reached or refuses.
    """
    import boto3
    from botocore.config import Config

    wait = settings.alert_timeout_s
    config = Config(
        connect_timeout=wait, read_timeout=wait, retries={"total_max_attempts": settings.alert_attempts, "mode": "standard"}
    )
    with calling("Amazon CloudWatch"):
        door: Any = boto3.session.Session().client("cloudwatch", region_name=settings.s3_region or None, config=config)
        door.put_metric_data(Namespace=namespace, MetricData=metrics)


def written(url: str, settings: Settings) -> datetime:
    """When an object was written last. Raises NotInStore, StoreUnavailable."""
    bucket, key = split(url)
    with calling(url):
        return client(settings).head_object(Bucket=bucket, Key=key)["LastModified"]


@contextmanager
def calling(subject: str) -> Iterator[None]:
    """Run calls to S3; what they raise comes out as a `ChurnError` that names `subject`.

    `with calling("s3://desk/models"): client.list_objects_v2(…)`. Reading a body counts as a call too.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError, Boto3Error) as error:
        raise translate(error, subject) from error


def translate(error: Exception, subject: str) -> ChurnError:
    """The `ChurnError` that an error of boto3 or botocore means; raise it `from` the error.

    Parameters
    ----------
    error: a ClientError, BotoCoreError or Boto3Error.
    subject: what was asked for, such as `s3://bucket/key`; every message begins with it.

    Returns
    -------
    NotInStore where there is no such key; StoreConflict where a condition (If-Match, If-None-Match) did not hold;
    StoreUnavailable for all else: wrong or expired credentials, no such bucket, no right, no connection, a busy or full server.
    """
    from botocore.exceptions import ClientError

    if isinstance(error, ClientError):
        return _answer(error, subject)
    cause = error.__cause__ or error.__context__
    if isinstance(cause, ClientError):  # S3UploadFailedError and its like wrap the answer of the server
        return _answer(cause, subject)
    return StoreUnavailable(f"{subject}: {_no_answer(error)}")


def _answer(error: Any, subject: str) -> ChurnError:
    answer = error.response.get("Error", {})
    status = str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
    code = str(answer.get("Code") or status)
    said = str(answer.get("Message") or "").strip().rstrip(".")
    detail = f" ({code}: {said})" if said and said != code else f" ({code})"
    if code in _CONFLICT or status == "412":
        return StoreConflict(f"{subject}: somebody else changed it first; nothing was written{detail}")
    if code in _MISSING_KEY:
        return NotInStore(f"{subject}: there is no such object")
    if code == "NoSuchBucket":
        return StoreUnavailable(f"{subject}: the bucket does not exist; create it or correct the address{detail}")
    words = (
        (_EXPIRED, "the credentials have expired; sign in again or renew AWS_SESSION_TOKEN"),
        (_WRONG_CREDENTIALS, "the server does not accept these credentials; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        (_DENIED, "access denied; these credentials may not do this here, or the bucket does not exist"),
        (_ELSEWHERE, "the bucket lies in another region; set s3_region"),
        (_BUSY, "the server is busy or failing; nothing was lost, try again"),
        (_FULL, "the server has no room left for it"),
        ({"RequestTimeTooSkewed"}, "this machine's clock is wrong, so the server refuses its signature"),
        ({"InvalidBucketName"}, "that is no valid bucket name"),
        ({"NotImplemented", "501"}, "the server does not know this operation; the store needs conditional writes (If-Match)"),
    )
    for codes, meaning in words:
        if code in codes:
            return StoreUnavailable(f"{subject}: {meaning}{detail}")
    return StoreUnavailable(f"{subject}: the server refused{detail}")


def _no_answer(error: Exception) -> str:
    from botocore import exceptions as known

    words: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
        ((known.NoCredentialsError,), "no credentials found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or a profile"),
        ((known.PartialCredentialsError,), "the credentials are incomplete"),
        ((known.ProfileNotFound,), "the profile named by AWS_PROFILE does not exist"),
        (
            (known.CredentialRetrievalError, known.TokenRetrievalError, known.SSOError),
            "the credentials have expired or cannot be fetched; sign in again",
        ),
        ((known.ConnectTimeoutError,), "no connection within the time allowed (setting s3_connect_timeout_s)"),
        ((known.ReadTimeoutError,), "no answer within the time allowed (setting s3_read_timeout_s)"),
        ((known.SSLError,), "no secure connection; check the address and its certificate"),
        ((known.EndpointConnectionError, known.ProxyConnectionError), "no connection; check the address and the network"),
        ((known.ConnectionError, known.HTTPClientError), "the connection broke"),
        ((known.ParamValidationError,), "that is no valid bucket name or key"),
        ((known.IncompleteReadError,), "the connection broke before the whole object was read"),
    )
    for kinds, meaning in words:
        if isinstance(error, kinds):
            return f"{meaning} ({_short(error)})"
    return _short(error)


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
