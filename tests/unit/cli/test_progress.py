import io

import pytest

from photoorg.cli.progress import ProgressLine, duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_one_line_drawn_over_and_over():
    terminal = Terminal()
    show = ProgressLine(terminal)
    show(50, 200, 5.0)
    show(200, 200, 20.0)
    text = terminal.getvalue()
    assert text.count("\r") == 2 and text.count("\n") == 1
    assert "50/200  10.0 images/s, 15 s left" in text


def test_a_log_gets_at_most_a_line_per_tenth():
    log = io.StringIO()
    show = ProgressLine(log)
    for done in range(1, 1001):
        show(done, 1000, done / 100)
    lines = log.getvalue().splitlines()
    assert len(lines) == 11 and "1000/1000" in lines[-1]


def test_nothing_to_do_is_shown_as_done():
    log = io.StringIO()
    ProgressLine(log)(0, 0, 0.0)
    assert "0/0" in log.getvalue()


@pytest.mark.parametrize(("seconds", "text"), [(3, "3 s"), (90, "2 min"), (7200, "2.0 h")])
def test_durations_are_told_in_a_fitting_unit(seconds, text):
    assert duration(seconds) == text
