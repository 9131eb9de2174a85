"""Objects in S3 and in servers that speak its language.

Beam's own filesystem for S3 builds a client for each file (200 ms of CPU time), asks twice for each small file, and
cannot write an empty one; this one has its options and keeps one client for each process.
"""

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from ostinato.beam_pipelines.inputs.errors import ReadReason, StorageError
from ostinato.beam_pipelines.inputs.ranged import open_ranged

MAX_CONNECTIONS = 32
"""Threads that can talk to the server at the same time."""

MAX_KEYS = 1000
"""S3 lists and deletes at most so many at a time."""

_MISSING = ("404", "NoSuchKey", "NoSuchBucket", "NotFound")
_DENIED = ("403", "AccessDenied", "Forbidden")


class S3:
    """A client of one server; threads may share it."""

    def __init__(self, beam_args: Sequence[str], *, max_keys: int = MAX_KEYS) -> None:
        """Takes Beam's options (--s3_endpoint_url and so on); what they leave open, boto3 finds as it always does.

        Raises:
            StorageError: boto3 is not installed.
        """
        from apache_beam.options.pipeline_options import PipelineOptions, S3Options

        try:
            from boto3.session import Session  # pyright: ignore[reportMissingImports]  # the extra aws
            from botocore.config import Config  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise StorageError("s3://", "needs the extra aws: pip install 'ostinato[aws]'") from error
        self._max_keys = max_keys
        options: Any = PipelineOptions(list(beam_args)).view_as(S3Options)
        # Other servers than Amazon's refuse the checksums that boto3 has added to every request since 1.36.
        config = Config(
            max_pool_connections=MAX_CONNECTIONS,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        self._client: Any = Session().client(
            "s3",
            config=config,
            region_name=options.s3_region_name,
            api_version=options.s3_api_version,
            use_ssl=not options.s3_disable_ssl,
            verify=options.s3_verify,
            endpoint_url=options.s3_endpoint_url,
            aws_access_key_id=options.s3_access_key_id,
            aws_secret_access_key=options.s3_secret_access_key,
            aws_session_token=options.s3_session_token,
        )

    def open(self, path: str) -> BinaryIO:
        """Opens an object that can be sought in."""
        place = _bucket_and_key(path)
        size = self._call(path, "head_object", **place)["ContentLength"]
        return open_ranged(path, size, lambda start: self._get(path, start)["Body"])

    def read(self, path: str, max_bytes: int | None) -> bytes:
        """Returns a whole object, at most one byte more than allowed."""
        return self._body(path, self._get(path), max_bytes)

    def read_range(self, path: str, offset: int, length: int) -> bytes:
        """Returns the bytes from an offset on; fewer at the end of the object."""
        return self._body(path, self._get(path, offset, offset + length - 1), length)

    def is_file(self, path: str) -> bool:
        """Returns whether there is an object of this name."""
        place = _bucket_and_key(path)
        try:
            if place["Key"]:
                self._call(path, "head_object", **place)
        except StorageError as error:
            if error.reason == "missing":
                return False
            raise
        return bool(place["Key"])

    def list_files(self, folder: str) -> list[str]:
        """Returns all objects below a prefix, sorted."""
        place = _bucket_and_key(folder.rstrip("/") + "/")
        bucket, prefix = place["Bucket"], place["Key"]
        found: list[str] = []
        token: dict[str, str] = {}
        while True:
            answer = self._call(
                folder, "list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=self._max_keys, **token
            )
            keys = (one["Key"] for one in answer.get("Contents", ()))
            found += [f"s3://{bucket}/{key}" for key in keys if not key.endswith("/")]
            if not answer["IsTruncated"]:
                return sorted(found)
            token = {"ContinuationToken": answer["NextContinuationToken"]}

    def put(self, path: str, file: BinaryIO) -> None:
        """Writes an object; it appears when all of it has arrived."""
        place = _bucket_and_key(path)
        self._call(path, "upload_fileobj", file, place["Bucket"], place["Key"])

    def delete(self, paths: list[str]) -> None:
        """Deletes objects; one that is not there is none."""
        for bucket, keys in _by_bucket(paths, self._max_keys):
            objects = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
            answer = self._call(f"s3://{bucket}", "delete_objects", Bucket=bucket, Delete=objects)
            for error in answer.get("Errors", ()):
                raise StorageError(f"s3://{bucket}/{error['Key']}", f"cannot be deleted ({error['Message']})")

    def _get(self, path: str, start: int = 0, stop: int | None = None) -> Any:
        part = {"Range": f"bytes={start}-{'' if stop is None else stop}"} if start or stop is not None else {}
        return self._call(path, "get_object", **_bucket_and_key(path), **part)

    def _body(self, path: str, answer: Any, max_bytes: int | None) -> bytes:
        try:
            with answer["Body"] as body:
                return body.read(None if max_bytes is None else max_bytes + 1)
        except Exception as error:  # of urllib3 or botocore: the connection broke
            raise StorageError(path, f"cannot be read ({error})") from error

    def _call(self, path: str, method: str, *args: Any, **kwargs: Any) -> Any:
        from boto3.exceptions import Boto3Error  # pyright: ignore[reportMissingImports]
        from botocore.exceptions import (  # pyright: ignore[reportMissingImports]
            BotoCoreError,
            ClientError,
        )

        try:
            return getattr(self._client, method)(*args, **kwargs)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            reason: ReadReason | None = "missing" if code in _MISSING else "unreadable" if code in _DENIED else None
            raise StorageError(path, f"S3 says {error}", reason=reason) from error
        except (BotoCoreError, Boto3Error, OSError, ValueError) as error:
            raise StorageError(path, f"S3 cannot be used ({' '.join(str(error).split())})") from error


def _bucket_and_key(path: str) -> dict[str, str]:
    bucket, _, key = path.removeprefix("s3://").partition("/")
    if not bucket:
        raise StorageError(path, "names no bucket; write s3://bucket/path", reason="missing")
    return {"Bucket": bucket, "Key": key}


def _by_bucket(paths: list[str], max_keys: int) -> Iterator[tuple[str, list[str]]]:
    keys: dict[str, list[str]] = {}
    for path in paths:
        place = _bucket_and_key(path)
        keys.setdefault(place["Bucket"], []).append(place["Key"])
    for bucket, names in keys.items():
        for start in range(0, len(names), max_keys):
            yield bucket, names[start : start + max_keys]
