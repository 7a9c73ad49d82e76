"""Where things lie below the storage root; the only place that knows."""

from __future__ import annotations


def blobs_dir(tenant: str) -> str:
    """The folder of a tenant's originals."""
    return f"{tenant}/blobs"


def blob_path(tenant: str, photo_id: str) -> str:
    """An original, under its sha256."""
    return f"{blobs_dir(tenant)}/{photo_id[:2]}/{photo_id}"


def thumbs_dir(tenant: str) -> str:
    """The folder of a tenant's thumbnails."""
    return f"{tenant}/thumbs"


def thumb_path(tenant: str, photo_id: str) -> str:
    """A photo's thumbnail."""
    return f"{thumbs_dir(tenant)}/{photo_id[:2]}/{photo_id}.webp"


def run_dir(tenant: str, job: str, run: str) -> str:
    """The folder of one run of a job; with an empty run, the prefix of all its runs."""
    return f"{tenant}/runs/{job}/{run}"


def vectors_dir(tenant: str, space_id: str, run: str) -> str:
    """The folder of the vectors one run made; with an empty run, the prefix of the space's runs."""
    return f"{tenant}/vectors/{space_id}/{run}"


def index_dir(tenant: str, space_id: str, version: str) -> str:
    """The folder of one version of an index."""
    return f"{tenant}/indexes/{space_id}/{version}"
