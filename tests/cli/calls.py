"""What the command line tests share."""

FAST = ["--steps", "2", "--frames", "3"]  # options of a quick generation


def refused(result, *words):
    """One sentence that names these words, exit code 2, no traceback."""
    code, out, err = result
    assert code == 2
    assert out == ""
    lines = [line for line in err.splitlines() if "error:" in line]
    assert len(lines) == 1
    assert "Traceback" not in err
    for word in words:
        assert str(word) in lines[0]
