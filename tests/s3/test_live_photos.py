"""Live photos that lie in a bucket: ingested in any order, kept in a bucket, let go again."""

from __future__ import annotations

import hashlib

import pytest

from photoorg.config import PhotoOrgConfig, parse
from photoorg.stages.companions import accept_video, live_video
from photoorg.stages.purging import release_videos
from photoorg.store.catalog import Catalog, companions, pairs
from photoorg.store.layout import blob_path
from photoorg.store.objects import ObjectStore
from photoorg.store.sources import read_source
from tests.livephotos import plain_video, still, video
from tests.s3server import S3Server

pytestmark = [pytest.mark.s3, pytest.mark.postgres]
T = "default"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Bucket:
    """A prefix with photos, and a library in another prefix of the same bucket."""

    def __init__(self, s3: S3Server, prefix: str, url: str, originals: str) -> None:
        self.uri = f"s3://{s3.bucket}/{prefix}/incoming"
        self.source = s3.source()
        self.incoming = ObjectStore(s3.storage(f"{prefix}/incoming"))
        config = parse(
            {"database": {"url": url}, "ingest": {"stages": ["exif"], "originals": originals}}
        )
        storage = s3.storage(f"{prefix}/library")
        self.config: PhotoOrgConfig = config.model_copy(
            update={"storage": storage, "source": self.source}
        )
        self.library = ObjectStore(storage)

    def ingest(self):
        from pipelines import ingest

        return ingest.run(self.config, [self.uri])

    def kept(self) -> set[str]:
        return {path.rsplit("/", 1)[1] for path in self.library.list(f"{T}/blobs")}


@pytest.fixture(params=["copy", "reference"])
def bucket(request, s3, s3_prefix, catalog_url) -> Bucket:
    return Bucket(s3, s3_prefix, catalog_url, request.param)


def test_both_files_of_a_bucket_are_one_photo_in_whatever_order_they_come(
    bucket: Bucket, catalog: Catalog
) -> None:
    bucket.incoming.write("2024/ü 1.MOV", video("ONE"))
    bucket.incoming.write("2024/b.mov", video("TWO"))
    bucket.incoming.write("2024/b.jpg", still(2, "TWO"))
    bucket.incoming.write("2024/holiday.mp4", plain_video())
    first = bucket.ingest()
    assert (first.files, first.photos, first.duplicates, first.rejects) == (4, 1, 1, 2)
    assert (first.live_videos, first.waiting_videos) == (1, 1)
    bucket.incoming.write("2025/ü 1.JPG", still(1, "ONE"))
    second = bucket.ingest()
    assert (second.new, second.photos, second.live_videos) == (1, 2, 2), "no video is read again"
    assert second.waiting_videos == 0
    copied = bucket.config.ingest.originals == "copy"
    with catalog.tenant(T) as tx:
        for number, name in ((1, "ONE"), (2, "TWO")):
            (found,) = companions.of_still(tx, digest(still(number, name)))
            assert found.companion_id == digest(video(name)) and found.stored == copied
            assert found.size == len(video(name)) and found.mime == "video/quicktime"
        (pair,) = pairs.of_photo(tx, digest(still(1, "ONE")))
        assert any("both files are called ü 1" in line for line in pair.evidence)
    everything = [still(1, "ONE"), still(2, "TWO"), video("ONE"), video("TWO")]
    assert bucket.kept() == ({digest(data) for data in everything} if copied else set())
    if copied:
        assert bucket.library.read(blob_path(T, digest(video("ONE")))) == video("ONE")


def test_a_video_that_was_uploaded_meets_its_still_in_the_bucket(
    bucket: Bucket, catalog: Catalog
) -> None:
    bucket.library.check()
    data = video("ONE")
    found = live_video(data, max_seconds=30)
    assert found is not None
    assert accept_video(catalog, bucket.library, T, data, found) == []
    bucket.incoming.write("a.jpg", still(1, "ONE"))
    bucket.incoming.write("a.mov", data)
    summary = bucket.ingest()
    assert (summary.photos, summary.live_videos, summary.rejects) == (1, 1, 0)
    with catalog.tenant(T) as tx:
        assert [v.stored for v in companions.of_still(tx, digest(still(1, "ONE")))] == [True]


def test_the_copy_of_a_video_without_still_goes_and_the_bucket_keeps_its_own(
    s3: S3Server, s3_prefix: str, catalog: Catalog, catalog_url: str
) -> None:
    bucket = Bucket(s3, s3_prefix, catalog_url, "copy")
    bucket.incoming.write("a.mov", video("ONE"))
    assert bucket.ingest().waiting_videos == 1
    assert bucket.kept() == {digest(video("ONE"))}
    assert release_videos(catalog, bucket.library, T, 30.0) == 0
    assert release_videos(catalog, bucket.library, T, 0.0) == 1
    assert bucket.kept() == set()
    assert read_source(f"{bucket.uri}/a.mov", bucket.source, max_bytes=10**6) == video("ONE")
    bucket.incoming.write("a.jpg", still(1, "ONE"))
    assert bucket.ingest().live_videos == 1
    with catalog.tenant(T) as tx:
        assert [v.stored for v in companions.of_still(tx, digest(still(1, "ONE")))] == [False]
