"""The house rules that a program can check."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "faiss", "onnxruntime", "insightface", "open_clip", "ray", "fastapi", "sklearn")
PACKAGES = ("photoorg", "pipelines", "serve", "benchmarks")
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}


def sources(root: Path) -> list[Path]:
    return sorted(path for package in PACKAGES for path in (root / package).rglob("*.py"))


@pytest.mark.parametrize("module", ["photoorg", "photoorg.cli", "photoorg.cli.parser"])
def test_importing_loads_nothing_heavy(module, repo_root):
    script = (
        f"import sys, {module}\n"
        "from photoorg.cli.parser import build_parser; build_parser()\n"
        f"print(','.join(m for m in {HEAVY!r} if m in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=repo_root, capture_output=True, text=True
    )
    assert (done.stdout.strip(), done.returncode) == ("", 0), done.stderr


@pytest.mark.parametrize("package", ["photoorg", "pipelines"])
def test_every_module_imports_without_anything_heavy(package, repo_root):
    """Jobs too: Ray reads its settings, the token among them, when it is imported."""
    modules = [
        ".".join(path.relative_to(repo_root).with_suffix("").parts)
        for path in sources(repo_root)
        if path.is_relative_to(repo_root / package) and path.stem not in ("__main__", "__init__")
    ]
    script = (
        f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
        f"print(','.join(m for m in {HEAVY!r} if m in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=repo_root, capture_output=True, text=True
    )
    assert (done.stdout.strip(), done.returncode) == ("", 0), done.stderr


def test_import_contracts_hold(repo_root):
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=repo_root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_top_level_is_what_the_guide_says(repo_root):
    ignored = {"demo-data", "photoorg-data", "build", "dist", "__pycache__"}
    folders = {p.name for p in repo_root.iterdir() if p.is_dir() and not p.name.startswith(".")}
    assert {name for name in folders - ignored if not name.endswith(".egg-info")} == {
        "benchmarks",
        "cluster",
        "configs",
        "photoorg",
        "pipelines",
        "serve",
        "tests",
    }


def test_no_file_is_longer_than_400_lines(repo_root):
    tests = sorted((repo_root / "tests").rglob("*.py"))
    lengths = {
        str(path.relative_to(repo_root)): len(path.read_text().splitlines())
        for path in [*sources(repo_root), *tests]
    }
    assert {name: n for name, n in lengths.items() if n > 400} == {}


def test_no_module_is_named_after_nothing_in_particular(repo_root):
    named = {
        p for p in sources(repo_root) if {p.stem, *p.relative_to(repo_root).parts} & FORBIDDEN_NAMES
    }
    assert named == set()


def test_the_library_never_prints_and_leaves_no_stubs(repo_root):
    found = []
    for path in sources(repo_root):
        if path.is_relative_to(repo_root / "benchmarks"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                if node.func.id == "print":
                    found.append(f"{path.relative_to(repo_root)}:{node.lineno} print")
            elif isinstance(node, ast.Raise) and "NotImplementedError" in ast.dump(node):
                found.append(f"{path.relative_to(repo_root)}:{node.lineno} NotImplementedError")
    assert found == []
