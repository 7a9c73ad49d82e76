import json
from pathlib import Path

import pytest
import yaml

from photoorg.cli import main
from photoorg.cli.session import override
from photoorg.config import PhotoOrgConfig, load
from photoorg.errors import ConfigError


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    """Settings of the person who runs the tests must not reach them."""
    import os

    for name in [n for n in os.environ if n.startswith("PHOTOORG_")]:
        monkeypatch.delenv(name)


def write(folder: Path, text: str) -> str:
    path = folder / "config.yaml"
    path.write_text(text)
    return str(path)


def test_check_accepts_a_good_file(tmp_path, capsys):
    path = write(tmp_path, "tenant: family\nserve: {port: 9000}\n")
    assert main(["config", "check", path, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"ok": True, "file": path}


def test_check_explains_every_fault_by_its_path(tmp_path, capsys):
    path = write(tmp_path, "colour: red\nserve: {port: 99999}\nencoder: {space: 3}\n")
    assert main(["config", "check", path, "--json"]) == 2
    out, err = capsys.readouterr()
    error = json.loads(out)["error"]
    assert error["code"] == "config-invalid" and error["fix"]
    for where in ("colour", "serve.port", "encoder.space"):
        assert where in error["message"] and where in err
    assert "Traceback" not in err


@pytest.mark.parametrize("text", ["- a list\n", "a: [\n", "\x00"])
def test_check_refuses_what_is_no_configuration(text, tmp_path, capsys):
    assert main(["config", "check", write(tmp_path, text)]) == 2
    out, err = capsys.readouterr()
    assert err.startswith("error: ") and "Traceback" not in err and out == ""


def test_check_of_a_missing_file_names_it(tmp_path, capsys):
    assert main(["config", "check", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml" in capsys.readouterr().err


def test_show_prints_what_is_in_force_and_hides_secrets(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PHOTOORG_STORAGE__SECRET_KEY", "s3cr3t")
    path = write(tmp_path, "serve: {port: 9000}\n")
    assert main(["config", "show", "--config", path, "--tenant", "family"]) == 0
    text = capsys.readouterr().out
    shown = yaml.safe_load(text)
    assert (shown["serve"]["port"], shown["tenant"]) == (9000, "family")
    assert "s3cr3t" not in text


def test_a_wrong_tenant_on_the_command_line_is_a_configuration_error(capsys):
    assert main(["config", "show", "--tenant", "Not A Name"]) == 2
    assert "tenant" in capsys.readouterr().err


def test_usage_errors_keep_the_json_contract(capsys):
    assert main(["config", "check", "--json", "--paint"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["code"] == "usage"
    assert "--paint" in err


def test_override_keeps_secrets_and_checks_again():
    config = override(PhotoOrgConfig(), database={"url": "postgresql://u:p@h/d", "pool_max": None})
    again = override(config, serve={"port": 1})
    assert again.database.url.get_secret_value() == "postgresql://u:p@h/d"
    assert again.database.pool_max == PhotoOrgConfig().database.pool_max
    with pytest.raises(ConfigError, match=r"serve\.port"):
        override(config, serve={"port": -1})


def test_the_shipped_configurations_are_valid(repo_root):
    shipped = {path for path in (repo_root / "configs").glob("*.yaml") if path.name != "serve.yaml"}
    assert {path.stem for path in shipped} >= {"base", "laptop", "prod"}
    assert {path for path in shipped if main(["config", "check", str(path)])} == set()


def test_base_yaml_tells_the_real_defaults(repo_root):
    path = repo_root / "configs" / "base.yaml"
    assert load(path, env={}) == PhotoOrgConfig()
    assert len(yaml.safe_load(path.read_text())) >= 8


@pytest.mark.parametrize(
    ("text", "meant"), [("storag: {root: x}", "storage"), ("serve: {prot: 1}", "port")]
)
def test_a_misspelt_key_is_told_the_one_that_was_meant(text, meant, tmp_path, capsys):
    assert main(["config", "check", write(tmp_path, text)]) == 2
    assert f"did you mean {meant}?" in capsys.readouterr().err


def test_a_key_like_no_other_gets_no_guess(tmp_path, capsys):
    assert main(["config", "check", write(tmp_path, "zzz: 1")]) == 2
    assert "did you mean" not in capsys.readouterr().err


def test_a_variable_for_a_whole_section_beside_its_keys_is_explained():
    with pytest.raises(ConfigError, match="PHOTOORG_STORAGE and PHOTOORG_STORAGE__ROOT"):
        load(env={"PHOTOORG_STORAGE": "s3://b/p", "PHOTOORG_STORAGE__ROOT": "x"})


@pytest.mark.parametrize(
    "name", ["DATABASE", "DATABASE__URL", "STORAGE", "STORAGE__ACCESS_KEY", "SOURCE__SESSION_TOKEN"]
)
def test_what_stands_where_a_secret_belongs_is_never_told(name):
    with pytest.raises(ConfigError) as caught:
        load(env={f"PHOTOORG_{name}": "[postgresql://u:s3cr3t@h/d]"})
    assert name.lower().replace("__", ".") in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_a_file_that_is_no_yaml_is_told_by_line_and_column(tmp_path, capsys):
    assert main(["config", "check", write(tmp_path, "tenant: a\nstorage: [1,\n")]) == 2
    assert "config.yaml, line 3, column 1 is not YAML" in capsys.readouterr().err
