"""Progress in a pipe: a line for each phase, and one per interval within it."""

import io
import time

from vcjax.progress import LineReporter, duration, report_progress


def test_each_phase_has_a_line_and_a_long_one_more():
    stream = io.StringIO()
    with report_progress("clips", stream=stream, interval=0.1) as progress:
        progress("loading", 0, 0)
        progress("encoding", 0, 10)
        progress("encoding", 1, 10)
        progress.note = "loss 0.5"
        time.sleep(0.25)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "[0:00] loading"
    assert lines[1] == "[0:00] encoding: 0 of 10 clips"
    assert 3 <= len(lines) <= 5
    assert all(
        line.startswith("[0:00] encoding: 1 of 10 clips, loss 0.5, about 0:0") and line.endswith("left")
        for line in lines[2:]
    )


def test_a_phase_without_steps_says_how_long_it_has_taken():
    stream = io.StringIO()
    reporter = LineReporter("steps", stream, interval=0.1)
    reporter("compiling", 0, 0)
    time.sleep(0.15)
    reporter.close()
    assert stream.getvalue().splitlines()[1] == "[0:00] compiling, for 0:00"


def test_a_terminal_gets_a_bar():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    with report_progress("steps", stream=stream) as progress:
        progress("sampling", 1, 2)
    assert "sampling" in stream.getvalue()
    assert "left" in stream.getvalue()


def test_durations():
    assert [duration(s) for s in (0, 59.6, 61, 3600 + 62)] == ["0:00", "1:00", "1:01", "1:01:02"]
