import hashlib
import threading
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from photoorg.encoders.weights import (
    ModelFile,
    find,
    fingerprint,
    locate,
    reachable,
    unpack,
    within,
)
from photoorg.errors import EncoderUnavailableError

CONTENT = b"weights" * 10_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass

    def copyfile(self, source: Any, outputfile: Any) -> None:
        with suppress(ConnectionError):  # whoever only asks whether it is there hangs up early
            super().copyfile(source, outputfile)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """A web site with model.onnx on it, on the loopback."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(CONTENT)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_file_in_models_dir_is_used_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(CONTENT)
    assert locate([ModelFile(file="model.onnx")], str(tmp_path)) == tmp_path / "model.onnx"


def test_models_dir_may_start_with_a_tilde(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model.onnx").write_bytes(CONTENT)
    assert find([ModelFile(file="model.onnx")], "~") == tmp_path / "model.onnx"


def test_an_absolute_path_needs_no_models_dir(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(CONTENT)
    model = ModelFile(file=str(tmp_path / "model.onnx"))
    assert find([model], "/nowhere") == tmp_path / "model.onnx"


def test_a_file_that_is_here_is_preferred_to_an_earlier_one_to_fetch(
    tmp_path: Path, site: str
) -> None:
    (tmp_path / "other.onnx").write_bytes(CONTENT)
    models = [ModelFile(file="model.onnx", url=f"{site}/model.onnx"), ModelFile(file="other.onnx")]
    assert locate(models, str(tmp_path)).name == "other.onnx"


def test_a_missing_file_is_fetched_whole_and_leaves_nothing_else(tmp_path: Path, site: str) -> None:
    model = ModelFile(file="model.onnx", url=f"{site}/model.onnx", sha256=SHA256)
    path = locate([model], str(tmp_path / "models"))
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == ["model.onnx"]


def test_the_second_alternative_is_fetched_where_the_first_does_not_exist(
    tmp_path: Path, site: str
) -> None:
    models = [
        ModelFile(file="a.onnx", url=f"{site}/absent.onnx"),
        ModelFile(file="b.onnx", url=f"{site}/model.onnx"),
    ]
    assert locate(models, str(tmp_path)).name == "b.onnx"


def test_a_download_with_another_checksum_is_not_kept(tmp_path: Path, site: str) -> None:
    model = ModelFile(file="model.onnx", url=f"{site}/model.onnx", sha256="0" * 64)
    with pytest.raises(EncoderUnavailableError, match="the space says 0000"):
        locate([model], str(tmp_path / "models"))
    assert list((tmp_path / "models").iterdir()) == []


def test_a_file_without_a_source_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EncoderUnavailableError) as error:
        locate([ModelFile(file="model.onnx")], str(tmp_path))
    for part in ("model.onnx", str(tmp_path), "PHOTOORG_MODELS_DIR"):
        assert part in str(error.value)
    assert not error.value.retryable


def test_a_source_that_refuses_is_a_retryable_error(tmp_path: Path) -> None:
    model = ModelFile(file="model.onnx", url="http://127.0.0.1:9/model.onnx")
    with pytest.raises(EncoderUnavailableError, match="did not answer within 2 s") as error:
        locate([model], str(tmp_path), timeout_s=2)
    assert error.value.retryable
    assert "http://127.0.0.1:9/model.onnx" in error.value.fix


def test_a_source_that_never_answers_is_given_up_in_time() -> None:
    never = threading.Event()
    assert within(0.2, never.wait, default=False) is False
    assert not never.is_set(), "it was not waited for"
    never.set()


def test_an_absent_page_is_not_reachable(site: str) -> None:
    assert reachable([ModelFile(file="x", url=f"{site}/absent")], 5) is None


def test_the_hub_is_left_alone_when_it_is_switched_off(site: str, monkeypatch: Any) -> None:
    model = ModelFile(file="model.onnx", hub="owner/name", revision="abc")
    monkeypatch.setenv("HF_ENDPOINT", site)
    assert model.source == f"{site}/owner/name/resolve/abc/model.onnx"
    folder = ModelFile(file="x", url=f"{site}/model.onnx")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert reachable([model], 5) is None
    assert reachable([folder], 5) == folder


def test_the_fingerprint_is_of_the_content_not_of_the_path(tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        (tmp_path / name).write_bytes(CONTENT)
    assert fingerprint(tmp_path / "a.onnx") == f"sha256:{SHA256[:16]}"
    assert fingerprint(tmp_path / "a.onnx") == fingerprint(tmp_path / "b.onnx")


def test_the_hub_cache_names_large_files_by_their_content(tmp_path: Path) -> None:
    blob = tmp_path / "blobs" / SHA256
    blob.parent.mkdir()
    blob.write_bytes(b"not read")
    link = tmp_path / "model.safetensors"
    link.symlink_to(blob)
    assert fingerprint(link) == f"sha256:{SHA256[:16]}"


def test_unpacking_keeps_only_the_files_asked_for_and_no_folders(tmp_path: Path) -> None:
    archive = tmp_path / "pack.zip"
    with zipfile.ZipFile(archive, "w") as members:
        members.writestr("pack/det.onnx", b"d")
        members.writestr("../../escape.onnx", b"e")
        members.writestr("pack/readme.txt", b"r")
    unpack(archive, tmp_path / "pack", ".onnx")
    assert sorted(p.name for p in (tmp_path / "pack").iterdir()) == ["det.onnx", "escape.onnx"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pack", "pack.zip"]


@pytest.mark.parametrize("content", [b"no zip", None])
def test_a_damaged_or_empty_archive_leaves_no_folder(tmp_path: Path, content: Any) -> None:
    archive = tmp_path / "pack.zip"
    if content is None:
        with zipfile.ZipFile(archive, "w") as members:
            members.writestr("readme.txt", b"r")
    else:
        archive.write_bytes(content)
    with pytest.raises(EncoderUnavailableError, match=r"pack\.zip"):
        unpack(archive, tmp_path / "pack", ".onnx")
    assert not (tmp_path / "pack").exists()
