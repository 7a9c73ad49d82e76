"""The demonstration from start to end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from photoorg.cli.demo.client import Client
from photoorg.cli.demo.library import Library, build
from photoorg.cli.demo.questions import QUESTIONS, Outcome
from photoorg.cli.demo.sheet import draw
from photoorg.errors import PhotoOrgError, ResourceError

FIRST_PORT = 8000
STOP_WITHIN_S = 60.0


def run(folder: Path, *, stay: bool) -> int:
    """Build, ingest, ask, draw; then serve until Ctrl-C if `stay`. 0 if everything was right."""
    started = time.monotonic()
    say(f"\nphotoorg demo - everything goes into {folder}\n")
    with _only_one(folder):
        say("1. A photo library from the photographs scikit-image and scikit-learn ship")
        shutil.rmtree(folder / "photos", ignore_errors=True)
        library = build(folder / "photos")
        say(f"   {library.files} files: {len(library.subject_of)} photos of")
        say(f"   {', '.join(library.subjects)}; {len(library.broken)} broken files\n")
        say(f"2. photoorg up {folder / 'photos'}")
        with _server(folder, library.folder) as ready:
            outcomes = [ingested_all(library, ready["ingest"])]
            say("\n3. Questions over HTTP")
            outcomes += _ask(Client(ready["url"]), library)
            sheet = folder / "contact-sheet.png"
            draw([outcome.row for outcome in outcomes if outcome.row], sheet)
            say(f"\n4. Query and results as a picture: {sheet}")
            right = all(outcome.right for outcome in outcomes)
            verdict = "everything worked" if right else "NOT everything worked, see above"
            say(f"\n{verdict}, {time.monotonic() - started:.0f} s in all\n")
            if stay:
                _stay(ready["url"], folder)
    return 0 if right else 1


def say(text: str) -> None:
    """A line for the person who watches."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def ingested_all(library: Library, counts: Mapping[str, Any]) -> Outcome:
    """Every file is accounted for: each photo once, each copy a duplicate, each wreck rejected."""
    expected = {
        "files": library.files,
        "photos": len(library.subject_of) - len(library.copies),
        "duplicates": len(library.copies),
        "rejects": len(library.broken),
    }
    found = {name: counts[name] for name in expected}
    right = found == expected
    if not right:
        say(f"   wrong: expected {expected}, found {found}")
    return Outcome(right, "every file accounted for")


def _ask(client: Client, library: Library) -> list[Outcome]:
    outcomes = []
    for question in QUESTIONS:
        try:
            outcome = question(client, library)
        except httpx.HTTPStatusError as error:
            outcome = Outcome(False, f"{question.__name__}: {error.response.text}")
        except httpx.HTTPError as error:
            outcome = Outcome(False, f"{question.__name__}: {type(error).__name__} {error}")
        say(f"   {'ok   ' if outcome.right else 'WRONG'} {outcome.sentence}")
        outcomes.append(outcome)
    return outcomes


def _stay(url: str, folder: Path) -> None:
    say(f"""Serving at {url}  (Ctrl-C ends it)

  Try next:
    open {url}/docs                                  every endpoint, to click
    curl {url}/v1/photos?limit=3                     what is in the library
    curl -F file=@holiday.jpg {url}/v1/photos        add a photo of yours
    curl -F image=@holiday.jpg {url}/v1/search       and find more like it
    .venv/bin/photoorg up ~/Pictures                 the same with your own photos
""")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        say("\nstopping")


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Hold the folder, so that a second demonstration does not pull the files from under this."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ResourceError(
                f"Another demonstration is running in {folder}.", fix="Stop it first (Ctrl-C)."
            ) from None
        yield


@contextmanager
def _server(folder: Path, photos: Path) -> Iterator[dict[str, Any]]:
    """`photoorg up` in a process of its own over an empty library; its JSON reply when ready."""
    storage = folder / "library"
    shutil.rmtree(storage, ignore_errors=True)
    command = [sys.executable, "-m", "photoorg.cli", "up", str(photos), "--json"]
    process = subprocess.Popen(
        [*command, "--port", str(_free_port())],
        env=_environment(storage),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        reply = json.loads(process.stdout.readline() or "{}")
        if "url" not in reply:
            process.wait(STOP_WITHIN_S)
            raise ResourceError("`photoorg up` did not come up.", fix="Its message is above.")
        yield reply
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _environment(storage: Path) -> dict[str, str]:
    """The environment without settings of a real library; those of encoders may stay."""
    kept = ("PHOTOORG_MODELS_DIR", "PHOTOORG_ENCODER__")
    own = {k: v for k, v in os.environ.items() if not k.startswith("PHOTOORG_")}
    models = {k: v for k, v in os.environ.items() if k.startswith(kept)}
    return own | models | {"PHOTOORG_STORAGE__ROOT": str(storage)}


def _free_port() -> int:
    for port in range(FIRST_PORT, FIRST_PORT + 50):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ResourceError(f"No port from {FIRST_PORT} on is free.", fix="Stop a server.")


def main() -> int:
    """`python -m photoorg.cli.demo`; DEMO_EXIT=1 ends after the checks."""
    stay = os.environ.get("DEMO_EXIT", "") in ("", "0")
    try:
        return run(Path("demo-data").resolve(), stay=stay)
    except PhotoOrgError as error:
        sys.stderr.write(f"error: {error.message}\nfix:   {error.fix}\n")
        return 1
    except KeyboardInterrupt:
        say("\nstopped")
        return 130
