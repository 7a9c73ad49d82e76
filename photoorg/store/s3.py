"""Objects in an S3 bucket, through s3fs; every request is retried where that can help."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pydantic import SecretStr

from photoorg.config import SourceConfig, StorageConfig
from photoorg.errors import ConfigError
from photoorg.store.s3errors import Refusal, explain, is_transient, refusal, refusals
from photoorg.store.transient import persist

if TYPE_CHECKING:
    from s3fs import S3FileSystem

PART_BYTES = 8 * 2**20
PARTS_AT_ONCE = 4
MOST_PARTS = 10_000
PAGE = 1_000


@dataclass(frozen=True, slots=True)
class S3Settings:
    """How to reach a bucket; without an access key the ambient AWS credentials are used."""

    endpoint_url: str | None
    region: str | None
    access_key: SecretStr | None
    secret_key: SecretStr | None
    session_token: SecretStr | None
    addressing_style: str
    anonymous: bool = False
    attempts: int = 5
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 60.0

    @classmethod
    def of(cls, config: StorageConfig | SourceConfig) -> S3Settings:
        """The part of a configuration section that speaks of S3."""
        names = cls.__dataclass_fields__
        given = {k: v for k, v in dict(config).items() if k in names}
        if (config.access_key is None) != (config.secret_key is None):
            raise ConfigError(
                "An S3 access key and its secret key must be given together.",
                fix="Set both access_key and secret_key, or neither to use the AWS environment.",
            )
        return cls(**given)


@dataclass(frozen=True, slots=True)
class S3Object:
    """One entry of a bucket listing."""

    key: str
    size: int
    etag: str
    modified_at: datetime


class S3Bucket:
    """Requests to one bucket. Thread-safe; picklable; opened on first use, anew after a fork."""

    def __init__(self, bucket: str, settings: S3Settings) -> None:
        self.name = bucket
        self._settings = settings
        self._opened: S3FileSystem | None = None
        self._pid = 0
        self._lock = threading.Lock()
        self._found = False

    def __reduce__(self) -> tuple[Any, ...]:
        return (S3Bucket, (self.name, self._settings))

    def read(self, key: str, *, most: int | None = None) -> bytes:
        """The object's bytes, or its first `most`; NotFoundError if there is none."""
        span = {} if most is None else _range(0, most)
        try:
            data: bytes = self._persist(lambda: self._get(key, span), "Reading", key)
            return data
        except Refusal as error:
            if error.status == 416:  # the first bytes of an empty object
                return b""
            raise self._explained(error, key) from error

    def write(self, key: str, data: bytes, *, if_absent: bool) -> bool:
        """Put the object; False if `if_absent` and the server said that it was there.

        A server that does not know If-None-Match overwrites: then only the look before the write
        protects, and of two writers at the same moment the last one wins. After a lost answer a
        repeated conditional write may report its own object as having been there.
        """
        if if_absent and self.head(key) is not None:
            return False
        try:
            if len(data) > 2 * PART_BYTES:
                self._put_parts(key, memoryview(data), if_absent=if_absent)
            else:
                self._put(key, data, if_absent=if_absent)
        except Refusal as error:
            if if_absent and error.status == 412:
                return False
            # Another write or removal was under way; what came of it, a look tells.
            if if_absent and error.status == 409 and self.head(key) is not None:
                return False
            if if_absent and error.status == 501:
                return self.write(key, data, if_absent=False)
            raise self._explained(error, key) from error
        return True

    def upload(self, key: str, local: Path) -> None:
        """Put a local file, in parts where it is large; the object appears whole or not at all."""
        try:
            if local.stat().st_size > 2 * PART_BYTES:
                self._put_parts(key, local, if_absent=False)
            else:
                self._put(key, local.read_bytes(), if_absent=False)
        except Refusal as error:
            raise self._explained(error, key) from error

    def download(self, key: str, local: Path) -> None:
        """Get an object into a file, part by part."""
        entry = self.head(key)
        size = entry.size if entry else 0
        if entry is None:
            raise explain(Refusal(404, "NoSuchKey", ""), self.name, key, self._settings)
        with local.open("wb") as file:
            for start in range(0, size, 4 * PART_BYTES):
                file.write(self._span(key, start, min(size, start + 4 * PART_BYTES), entry.etag))

    def head(self, key: str) -> S3Object | None:
        """Size, etag and time of an object, None if there is none."""
        try:
            found = self._call("head_object", key, Key=key)
        except Refusal as error:
            if error.status == 404 and error.code != "NoSuchBucket":
                self._require_bucket()
                return None
            raise self._explained(error, key) from error
        etag = str(found.get("ETag", "")).strip('"')
        return S3Object(key, int(found["ContentLength"]), etag, found["LastModified"])

    def list(self, prefix: str) -> Iterator[S3Object]:
        """Objects whose key begins with `prefix`, in key order, a page of 1,000 at a time."""
        more: dict[str, Any] = {}
        while True:
            try:
                page = self._call("list_objects_v2", prefix, Prefix=prefix, MaxKeys=PAGE, **more)
            except Refusal as error:
                raise self._explained(error, prefix) from error
            for item in page.get("Contents", ()):
                etag = str(item.get("ETag", "")).strip('"')
                yield S3Object(item["Key"], int(item["Size"]), etag, item["LastModified"])
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def delete(self, key: str) -> None:
        """Remove the object; nothing happens if there is none."""
        try:
            self._call("delete_object", key, Key=key)
        except Refusal as error:
            if error.status != 404 or error.code == "NoSuchBucket":
                raise self._explained(error, key) from error

    def presign(self, key: str, seconds: int) -> str:
        """A URL that lets anyone read the object for `seconds`."""
        return str(self._fs().url(f"{self.name}/{key}", expires=seconds))

    def check(self, probe: str) -> bool:
        """Prove that objects can be written, read and removed, by writing and removing `probe`.

        Returns whether the server honours conditional writes.
        """
        try:
            self._put(probe, b"photoorg", if_absent=False)
            self.read(probe)
            return self._is_conditional(probe)
        except Refusal as error:
            raise self._explained(error, probe) from error
        finally:
            with suppress(Refusal):
                self._call("delete_object", probe, attempts=1, Key=probe)

    def sweep(self, prefix: str, older_than_s: float) -> int:
        """Abort uploads in parts that killed writers left; how many there were."""
        limit = datetime.now(UTC) - timedelta(seconds=older_than_s)
        swept = 0
        try:
            for upload in self._unfinished(prefix):
                if upload["Initiated"] < limit:
                    self._abort(upload["Key"], upload["UploadId"])
                    swept += 1
        except Refusal as error:
            raise self._explained(error, prefix) from error
        return swept

    def _unfinished(self, prefix: str) -> Iterator[dict[str, Any]]:
        """Uploads in parts that are neither completed nor aborted, a page at a time."""
        more: dict[str, Any] = {}
        while True:
            page = self._call("list_multipart_uploads", prefix, Prefix=prefix, **more)
            yield from page.get("Uploads", ())
            if not page.get("IsTruncated"):
                return
            more = {
                "KeyMarker": page["NextKeyMarker"],
                "UploadIdMarker": page["NextUploadIdMarker"],
            }

    def _require_bucket(self) -> None:
        """Once: the answer to HEAD does not tell a missing object from a missing bucket."""
        if not self._found:
            try:
                self._call("head_bucket", "")
            except Refusal as error:
                if error.status == 404:
                    raise self._explained(error, "") from error
            self._found = True

    def _is_conditional(self, probe: str) -> bool:
        try:
            self._put(probe, b"again", if_absent=True)
        except Refusal as error:
            if error.status == 501:
                return False
            if error.status in (409, 412):
                return True
            raise
        return False

    def _put(self, key: str, data: bytes, *, if_absent: bool) -> None:
        self._call("put_object", key, Key=key, Body=data, **_condition(if_absent))

    def _put_parts(self, key: str, data: memoryview | Path, *, if_absent: bool) -> None:
        size = data.stat().st_size if isinstance(data, Path) else len(data)
        step = max(PART_BYTES, -(-size // MOST_PARTS))
        upload = self._call("create_multipart_upload", key, Key=key)["UploadId"]

        def put(start: int) -> dict[str, Any]:
            number = start // step + 1
            body = _slice(data, start, step)
            sent = self._call(
                "upload_part", key, Key=key, UploadId=upload, PartNumber=number, Body=body
            )
            return {"PartNumber": number, "ETag": sent["ETag"]}

        try:
            with ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="s3-parts") as pool:
                parts = list(pool.map(put, range(0, size, step)))
            self._complete(key, upload, parts, size, if_absent=if_absent)
        except BaseException:
            with suppress(Refusal):
                self._abort(key, upload)
            raise

    def _complete(
        self, key: str, upload: str, parts: Sequence[dict[str, Any]], size: int, *, if_absent: bool
    ) -> None:
        whole: dict[str, Any] = {"UploadId": upload, "MultipartUpload": {"Parts": parts}}
        try:
            self._call("complete_multipart_upload", key, Key=key, **whole, **_condition(if_absent))
        except Refusal as error:
            # After a lost answer the upload is gone because it succeeded.
            there = self.head(key) if error.code == "NoSuchUpload" else None
            if there is None or there.size != size:
                raise

    def _abort(self, key: str, upload: str) -> None:
        self._call("abort_multipart_upload", key, Key=key, UploadId=upload)

    def _span(self, key: str, start: int, end: int, etag: str) -> bytes:
        def get() -> bytes:
            data = self._get(key, _range(start, end))
            if len(data) != end - start:
                raise ConnectionError("the answer was cut short")
            return data

        try:
            data: bytes = self._persist(get, "Reading", key)
            return data
        except Refusal as error:
            raise self._explained(error, key) from error

    def _get(self, key: str, span: Mapping[str, str]) -> bytes:
        """The bytes of an object by its key alone: s3fs takes parts of a path for a version."""
        from fsspec.asyn import sync

        filesystem = self._fs()
        data: bytes = sync(filesystem.loop, _body, filesystem, Bucket=self.name, Key=key, **span)
        return data

    def _call(self, method: str, key: str, *, attempts: int | None = None, **arguments: Any) -> Any:
        return self._persist(
            lambda: self._fs().call_s3(method, Bucket=self.name, **arguments),
            method,
            key,
            attempts=attempts,
        )

    def _persist(self, operation: Any, what: str, key: str, attempts: int | None = None) -> Any:
        try:
            return persist(
                operation,
                attempts=attempts or self._settings.attempts,
                transient=is_transient,
                what=f"{what} s3://{self.name}/{key}",
            )
        except refusals() as error:
            raise refusal(error) from error

    def _explained(self, error: Refusal, key: str) -> Exception:
        return explain(error, self.name, key, self._settings)

    def _fs(self) -> S3FileSystem:
        with self._lock:
            if self._opened is None or self._pid != os.getpid():
                self._opened, self._pid = _open(self._settings), os.getpid()
            return self._opened


def _open(settings: S3Settings) -> S3FileSystem:
    import s3fs

    region = settings.region
    if region is None and settings.endpoint_url and not os.environ.get("AWS_DEFAULT_REGION"):
        region = "us-east-1"
    filesystem = s3fs.S3FileSystem(
        anon=settings.anonymous,
        key=_plain(settings.access_key),
        secret=_plain(settings.secret_key),
        token=_plain(settings.session_token),
        endpoint_url=settings.endpoint_url,
        client_kwargs={"region_name": region} if region else {},
        config_kwargs={
            "signature_version": "s3v4",
            "s3": {"addressing_style": settings.addressing_style},
            "connect_timeout": settings.connect_timeout_s,
            "read_timeout": settings.read_timeout_s,
            # Tenacity alone decides about retries, and many servers that are not AWS refuse the
            # checksum trailers that newer SDKs add by default.
            "retries": {"total_max_attempts": 1},
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        },
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    filesystem.retries = 1
    return filesystem


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None


async def _body(filesystem: S3FileSystem, **arguments: str) -> bytes:
    answer = await filesystem._call_s3("get_object", **arguments)
    async with answer["Body"] as body:
        data: bytes = await body.read()
        return data


def _range(start: int, end: int) -> dict[str, str]:
    return {"Range": f"bytes={start}-{end - 1}"}


def _condition(if_absent: bool) -> dict[str, Any]:
    return {"IfNoneMatch": "*"} if if_absent else {}


def _slice(data: memoryview | Path, start: int, length: int) -> bytes:
    if isinstance(data, memoryview):
        return bytes(data[start : start + length])
    file: BinaryIO
    with data.open("rb") as file:
        file.seek(start)
        return file.read(length)
