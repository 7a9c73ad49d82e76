import io
import json
import subprocess
import sys

from photoorg.cli.output import Output, table
from photoorg.errors import NotFoundError


def test_a_reply_is_one_line_of_json_or_the_text():
    as_json, as_text = io.StringIO(), io.StringIO()
    Output(as_json, io.StringIO(), as_json=True).reply({"a": "ä\nb"}, "text")
    Output(as_text, io.StringIO(), as_json=False).reply({"a": 1}, "text\n")
    assert as_json.getvalue().count("\n") == 1
    assert json.loads(as_json.getvalue()) == {"a": "ä\nb"}
    assert as_text.getvalue() == "text\n"


def test_a_failure_says_what_and_how_to_mend_it_on_both_streams():
    stdout, stderr = io.StringIO(), io.StringIO()
    Output(stdout, stderr, as_json=True).fail(NotFoundError("No such photo.", fix="Look again."))
    assert stderr.getvalue() == "error: No such photo.\nfix:   Look again.\n"
    assert json.loads(stdout.getvalue()) == {
        "error": {"code": "not-found", "message": "No such photo.", "fix": "Look again."}
    }


def test_a_failure_without_json_leaves_stdout_empty():
    stdout = io.StringIO()
    Output(stdout, io.StringIO(), as_json=False).fail(NotFoundError("No such photo."))
    assert stdout.getvalue() == ""


def test_with_json_other_writers_of_stdout_end_up_on_stderr():
    script = """
import os, subprocess, sys
from photoorg.cli.output import Output, results_stream
with results_stream(as_json=True) as stdout:
    print("from python")
    os.write(1, b"from a library in C\\n")
    subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
    Output(stdout, sys.stderr, as_json=True).reply({"ok": True}, "")
print("afterwards")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == '{"ok": true}\nafterwards\n'
    for text in ("from python", "from a library in C", "from a child"):
        assert text in done.stderr


def test_table_pads_columns_and_shows_none_as_nothing():
    assert table([("a", None), ("bcd", 2)], ("x", "long")) == "x    long\na\nbcd  2"


def test_a_cell_stays_on_its_line_and_tells_a_terminal_nothing():
    assert table([("a\nb\x1b[2J", "ü")], ("x", "y")).splitlines()[1:] == [r"a\nb\x1b[2J  ü"]
