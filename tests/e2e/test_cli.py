"""The command line, from folder to hits, and what it says to bad input."""

import hashlib
import json

import pytest

from tests.pictures import jpeg, library

pytestmark = [pytest.mark.e2e, pytest.mark.postgres]


@pytest.fixture(scope="module")
def ingested(home):
    """The home after `ingest` and `index build`, with what both answered."""
    ingest = home.run("ingest", "photos", "--json")
    assert ingest.status == 0, ingest.err
    index = home.run("index", "build", "--json")
    assert index.status == 0, index.err
    return ingest, index


@pytest.mark.ray
@pytest.mark.slow
class TestFromFolderToHits:
    def test_ingest_accounts_for_every_file(self, ingested):
        summary = ingested[0].json
        assert (summary["files"], summary["photos"]) == (15, 9)
        assert (summary["duplicates"], summary["rejects"]) == (3, 3)
        assert summary["seconds"] > 0 and summary["images_per_second"] > 0

    def test_a_handful_of_photos_needs_no_ray(self, home, ingested):
        (home.folder / "few").mkdir()
        (home.folder / "few" / "one.jpg").write_bytes(jpeg(3))
        code = (
            "import sys; from photoorg.cli import main\n"
            "status = main(sys.argv[1:]); sys.exit(9 if 'ray' in sys.modules else status)"
        )
        done = home.run("ingest", "few", "--tenant", "few", "--json", code=code)
        assert done.status == 0 and done.json["photos"] == 1, done.err

    def test_ingest_says_why_a_file_was_rejected(self, ingested):
        lines = ingested[0].err.splitlines()
        rejected = [line for line in lines if line.startswith("  file://")]
        assert len(rejected) == 3
        assert any("broken-0000.jpg" in line and "empty" in line for line in rejected)

    def test_a_second_ingest_finds_nothing_new_and_the_same_totals(self, home, ingested):
        again = home.run("ingest", "photos", "--json").json
        assert again["new"] == 0
        for name in ("files", "photos", "duplicates", "rejects"):
            assert again[name] == ingested[0].json[name]

    def test_a_dry_run_counts_and_writes_nothing(self, home, ingested, request):
        library(home.folder / "more", 2)
        (home.folder / "more" / "new.jpg").write_bytes(jpeg(77))
        before = sorted((home.folder / "store").rglob("*.parquet"))
        dry = home.call(request, "ingest", "more", "--dry-run", "--json")
        assert dry.status == 0 and dry.json["dry_run"] and dry.json["new"] == 3
        assert sorted((home.folder / "store").rglob("*.parquet")) == before

    def test_the_index_holds_every_photo_and_is_listed(self, home, ingested, request):
        assert ingested[1].json["vectors"] == 9
        listed = home.call(request, "index", "list", "--json").json["indexes"]
        assert [v["status"] for v in listed] == ["active"]
        assert listed[0]["version"] == ingested[1].json["version"]

    def test_search_by_image_finds_the_photo_itself_first(self, home, ingested):
        answer = home.run("search", "--image", "photos/query.png", "--k", "3", "--json").json
        assert set(answer) >= {"query", "space", "results", "latency_ms"}
        assert answer["query"] == {"image": "photos/query.png"}
        assert len(answer["results"]) == 3
        top = answer["results"][0]
        assert top["photo_id"] == hashlib.sha256(jpeg(3)).hexdigest()
        assert set(top) >= {"photo_id", "uri", "score", "signals"}
        assert top["signals"]

    def test_search_by_id_leaves_the_photo_itself_out(self, home, ingested, request):
        photo_id = hashlib.sha256(jpeg(5)).hexdigest()
        answer = home.call(request, "search", "--id", photo_id, "--json").json
        assert len(answer["results"]) == 8
        assert photo_id not in {hit["photo_id"] for hit in answer["results"]}

    def test_search_by_a_part_of_an_image(self, home, ingested, request):
        words = ("--image", "photos/query.png", "--bbox", "10,10,80,60")
        answer = home.call(request, "search", *words)
        assert answer.status == 0 and "results in" in answer.out

    def test_people_get_a_table(self, home, ingested, request):
        shown = home.call(request, "search", "--image", "photos/query.png", "--k", "2")
        assert shown.status == 0
        assert shown.out.startswith("score") and "photo-0003.jpg" in shown.out

    @pytest.mark.parametrize(
        ("words", "code"),
        [
            (["--text", "a red car"], "no-text-search"),
            (["--id", "0" * 64], "not-found"),
            (["--id", "nonsense"], "input-invalid"),
            (["--image", "photos/query.png", "--k", "0"], "input-invalid"),
            (["--image", "photos/query.png", "--k", "10000"], "input-invalid"),
            (["--image", "photos/query.png", "--bbox", "5000,0,10,10"], "input-invalid"),
            (["--image", "photos/query.png", "--bbox", "0,0,-5,10"], "input-invalid"),
            (["--image", "note.txt"], "unsupported-media-type"),
            (["--image", "photos/broken-0000.jpg"], "decode-failed"),
            (["--image", "photos/broken-0002.jpg"], "decode-failed"),
            (["--image", "nowhere.jpg"], "not-found"),
            (["--image", "photos"], "input-invalid"),
            (["--text", "  "], "input-invalid"),
        ],
    )
    def test_a_bad_query_is_told_what_is_wrong(self, home, ingested, request, words, code):
        failed = home.call(request, "search", *words, "--json")
        assert failed.status == 1
        error = failed.json["error"]
        assert error["code"] == code and error["message"], error
        assert "Traceback" not in failed.err and "error: " in failed.err


@pytest.mark.parametrize(
    ("words", "code", "status"),
    [
        (["ingest", "nowhere"], "not-found", 1),
        (["ingest", "empty"], "not-found", 1),
        (["ingest", "photos", "--limit", "0"], "input-invalid", 1),
        (["ingest", "ftp://host/photos"], "input-invalid", 1),
        (["search", "--id", "0" * 64, "--tenant", "Not A Name"], "config-invalid", 2),
        (["search", "--id", "0" * 64, "--config", "nowhere.yaml"], "config-invalid", 2),
        (["evaluate", "retrieval", "empty"], "input-invalid", 1),
        (["evaluate", "retrieval", "photos", "--space", "nonsense"], "input-invalid", 1),
        (["serve", "--host", "0.0.0.0"], "config-invalid", 2),
        (["serve", "--port", "99999"], "config-invalid", 2),
        (["up", "nowhere"], "not-found", 1),
        (["up", "empty"], "not-found", 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_told_what_is_wrong(home, request, words, code, status):
    failed = home.call(request, *words, "--json")
    error = failed.json["error"]
    assert (error["code"], failed.status) == (code, status), error
    assert "Traceback" not in failed.err and "error: " in failed.err


def test_a_storage_that_cannot_be_used_is_named(home):
    failed = home.run("search", "--id", "0" * 64, "--json", PHOTOORG_STORAGE__ROOT="/proc/nowhere")
    assert failed.status == 1
    assert "/proc/nowhere" in failed.json["error"]["message"]


def test_a_database_that_does_not_answer_is_told_without_its_password(home):
    url = "postgresql://photoorg:hunter2@127.0.0.1:1/photoorg"
    failed = home.run("index", "list", "--json", PHOTOORG_DATABASE__URL=url)
    assert failed.status == 1
    assert failed.json["error"]["code"] == "catalog-failed"
    assert "hunter2" not in failed.out + failed.err


@pytest.mark.s3
class TestBuckets:
    def settings(self, s3, **changes: str) -> dict[str, str]:
        given = {
            "ENDPOINT_URL": s3.endpoint,
            "REGION": s3.region,
            "ACCESS_KEY": s3.access_key,
            "SECRET_KEY": s3.secret_key,
            "ADDRESSING_STYLE": "path",
        }
        return {f"PHOTOORG_SOURCE__{name}": value for name, value in (given | changes).items()}

    @pytest.mark.parametrize(
        ("uri", "changes", "names"),
        [
            ("s3://no-such-bucket/x", {}, "no-such-bucket"),
            ("s3://photos/x", {"SECRET_KEY": "wrong"}, "secret"),
            ("s3://photos/x", {"ENDPOINT_URL": "http://127.0.0.1:1"}, "127.0.0.1:1"),
        ],
        ids=["missing bucket", "wrong secret", "no server"],
    )
    def test_a_bucket_that_cannot_be_read_is_told(self, home, s3, uri, changes, names):
        failed = home.run("ingest", uri, "--json", **self.settings(s3, **changes))
        error = failed.json["error"]
        assert failed.status == 1 and error["fix"], error
        assert error["code"] in ("storage-failed", "not-found")
        assert names in error["message"]
        assert "Traceback" not in failed.err


def test_doctor_reports_every_part(home):
    report = home.run("doctor", "--json")
    checks = {check["name"]: check for check in report.json["checks"]}
    assert {"machine", "gpu", "package ray", "encoder builtin", "storage", "database"} <= set(
        checks
    )
    assert checks["encoder builtin"]["status"] == "ok"
    assert checks["database"]["status"] == "ok"
    assert report.status == (0 if report.json["ok"] else 1)
    assert all(check["fix"] for check in checks.values() if check["status"] != "ok")


@pytest.mark.ray
@pytest.mark.slow
def test_evaluate_measures_classes_in_a_catalog_of_its_own(home):
    folder = home.folder / "labelled"
    for number, name in enumerate(("red", "blue")):
        (folder / name).mkdir(parents=True)
        for edit in range(6):
            image = jpeg(500 + number, 200 + 10 * edit, 150)
            (folder / name / f"{edit}.jpg").write_bytes(image)
    (folder / "README.md").write_text("beside the classes")
    result = home.run("evaluate", "retrieval", "labelled", "--json")
    assert result.status == 0, result.err
    scores = result.json
    assert (scores["n"], scores["classes"], scores["rejects"]) == (12, 2, 0)
    assert scores["map_at_10"] > 0.95 and scores["recall_at_10"] > 0.95
    assert scores["space"].startswith("builtin-")
    assert "1 file beside" in result.err
    known = home.run("ingest", "labelled", "--dry-run", "--json").json
    assert (known["new"], known["files"]) == (13, 0), "evaluate must not touch the real catalog"


@pytest.mark.ray
@pytest.mark.slow
def test_evaluate_looks_at_the_photos_of_events_that_lie_beside_the_list(home, request):
    folder = home.folder / "trips"
    folder.mkdir()
    rows = []
    for number in range(6):
        name = f"{number}.jpg"
        if number:
            (folder / name).write_bytes(jpeg(700 + number, 200, 150))
        rows.append(
            {"file": name, "time": f"2024-05-0{1 + number // 3}T12:0{number}", "event": number // 3}
        )
    (folder / "list.json").write_text(json.dumps(rows))
    words = ("evaluate", "events", "trips/list.json", "--json")
    blind = home.call(request, *words)
    looked = home.call(request, *words, "--space", "builtin")
    assert (blind.json["looked_at"], looked.json["looked_at"]) == (0, 5), looked.err
    assert blind.json["pairwise_f1"] == looked.json["pairwise_f1"] == 1.0
    unknown = home.call(request, *words, "--space", "no-such-space")
    assert unknown.status == 2 and "no-such-space" in unknown.json["error"]["message"]


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.data
def test_evaluate_on_real_classes_with_an_onnx_space(home, shared_data):
    result = home.run(
        "evaluate",
        "retrieval",
        str(shared_data / "classes" / "caltech101sub"),
        "--space",
        "mobilenetv2",
        "--json",
        PHOTOORG_MODELS_DIR=str(shared_data / "models"),
    )
    assert result.status == 0, result.err
    assert result.json["map_at_10"] > 0.95
    assert result.json["n"] + result.json["duplicates"] == 387
