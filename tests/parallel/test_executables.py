"""Stored executables run without tracing and give the same results; invalid ones are reported and recompiled."""

import json
import os
import subprocess
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from vcjax.errors import VcjaxWarning
from vcjax.parallel import compilation, executables
from vcjax.parallel.flops import count

SCRIPT = """
import sys
from pathlib import Path
import jax.numpy as jnp
from vcjax.parallel import compilation
from vcjax.parallel.executables import ExecutableCache

compilation.enable_cache()

def triple(name, x):
    print("traced", name)
    return jnp.tanh(x @ x) * 3

program = ExecutableCache(compilation.jit(triple, static_argnums=0), Path(sys.argv[1]), configuration=sys.argv[2])
print("output", float(program("a", jnp.ones((4, 4)) / 8).sum()))
"""


def start(folder, configuration="one"):
    """Run a stored function in a separate process, with the compilation cache beside the folder."""
    command = [sys.executable, "-c", SCRIPT, str(folder), configuration]
    environment = os.environ | {"VCJAX_CACHE": str(folder.parent / "cache")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split(), done.stderr


def test_a_second_process_starts_without_tracing(tmp_path):
    folder = tmp_path / "programs"
    first, _ = start(folder)
    second, warning = start(folder)
    assert first[:2] == ["traced", "a"]
    assert second == first[2:]  # bit-identical output, and nothing was traced
    assert warning == ""
    other, warning = start(folder, "two")
    assert other == first
    assert "was stored before the configuration changed" in warning
    third, warning = start(folder, "two")  # stored although it was in the cache
    assert third == second
    assert warning == ""


@struct.dataclass
class Carry:
    total: jax.Array
    keys: jax.Array


def make(folder, **options):
    """Return a cached function with a static input, a donated tree and random keys, the function, and its traces."""
    traces = []

    def step(factor, carry, batch):
        traces.append(factor)
        noise = jax.random.normal(carry.keys, batch.shape)
        total = carry.total + factor * (batch @ batch.T).sum() + noise.sum()
        return Carry(total=total, keys=carry.keys), {"rows": batch.shape[0]}

    function = compilation.jit(step, static_argnums=0, donate_argnums=1)
    return executables.ExecutableCache(function, folder, **options), function, traces


def inputs(rows=3):
    return Carry(total=jnp.zeros(()), keys=jax.random.key(1)), np.ones((rows, 4), np.float32)


def test_trees_keys_donation_and_static_inputs(tmp_path):
    program, function, _ = make(tmp_path)
    expected, _ = function(2.0, *inputs())
    for _ in range(2):
        after, metrics = program(2.0, *inputs())
        assert float(after.total) == float(expected.total)
        assert int(metrics["rows"]) == 3
    again, _, traces = make(tmp_path)
    carry, batch = inputs()
    after, metrics = again(2.0, carry, batch)
    assert traces == []
    assert isinstance(after, Carry)
    assert float(after.total) == float(expected.total)
    assert int(metrics["rows"]) == 3
    assert carry.total.is_deleted()
    assert again.operations(2.0, *inputs()) == count(function.trace(2.0, *inputs())) == 2 * 3 * 3 * 4


def test_another_shape_has_another_executable(tmp_path):
    program, _, traces = make(tmp_path)
    for rows in (3, 5, 3):
        program(2.0, *inputs(rows))
    assert traces == [2.0, 2.0]
    assert len(list(tmp_path.iterdir())) == 2


def test_without_a_folder_the_function_is_called(tmp_path):
    program, function, _ = make(None)
    assert float(program(2.0, *inputs())[0].total) == float(function(2.0, *inputs())[0].total)
    assert program.operations(2.0, *inputs()) == 2 * 3 * 3 * 4


def stored_once(tmp_path):
    program, _, _ = make(tmp_path, name="step", configuration="a")
    program(2.0, *inputs())
    (path,) = tmp_path.iterdir()
    return path


@pytest.mark.parametrize("key", list(executables.IDENTITY_FIELDS))
def test_an_executable_with_another_identity_is_replaced(tmp_path, key):
    path = stored_once(tmp_path)
    head, _, body = path.read_bytes().partition(b"\n")
    header = json.loads(head)
    header["identity"][key] = "other"
    path.write_bytes(json.dumps(header).encode() + b"\n" + body)
    program, _, traces = make(tmp_path, name="step", configuration="a")
    with pytest.warns(VcjaxWarning, match=f"before {executables.IDENTITY_FIELDS[key]} changed.*recompiled"):
        program(2.0, *inputs())
    assert traces == [2.0]
    third, _, traces = make(tmp_path, name="step", configuration="a")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        third(2.0, *inputs())
    assert traces == []


def test_another_static_input_or_configuration_replaces_the_executable(tmp_path):
    stored_once(tmp_path)
    for factor, configuration in ((3.0, "a"), (3.0, "b")):
        program, function, _ = make(tmp_path, name="step", configuration=configuration)
        with pytest.warns(VcjaxWarning, match="before the configuration changed"):
            after, _ = program(factor, *inputs())
        assert float(after.total) == float(function(factor, *inputs())[0].total)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text"])
def test_a_damaged_file_is_reported_and_replaced(tmp_path, damage):
    path = stored_once(tmp_path)
    content = path.read_bytes()
    path.write_bytes(
        {
            "truncated": content[:-100],
            "flipped": content[:-1] + bytes([content[-1] ^ 1]),
            "empty": b"",
            "text": b"{}\nx",
        }[damage]
    )
    program, _, traces = make(tmp_path, name="step", configuration="a")
    with pytest.warns(VcjaxWarning, match="is damaged, so the program is recompiled"):
        program(2.0, *inputs())
    assert traces == [2.0]
    assert len(path.read_bytes()) > 1000


def test_an_unwritable_folder_is_reported_and_the_program_runs(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    program, function, _ = make(blocked)
    with pytest.warns(VcjaxWarning, match="compiled"):
        after, _ = program(2.0, *inputs())
    assert float(after.total) == float(function(2.0, *inputs())[0].total)
