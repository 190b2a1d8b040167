"""Compiled programs kept in a folder: a later process starts from them without tracing, lowering or compiling.

A stored program is machine code and is unpickled: take a folder of them only from people whom you would let run code.
"""

import dataclasses
import functools
import hashlib
import json
import os
import pickle
import platform
import warnings
from pathlib import Path
from typing import Any

import jax
import jaxlib
from jax.experimental import serialize_executable

from vcjax.errors import BadInput, VcjaxWarning
from vcjax.files import replacing
from vcjax.parallel import compilation
from vcjax.parallel.flops import count

SUFFIX = ".program"
PACKAGE = Path(__file__).parents[1]
# What decides whether a stored program is still the right one, and how to call it.
DECISIVE = {
    "jax": "jax and jaxlib",
    "backend": "the backend",
    "device": "the device",
    "devices": "the number of devices",
    "flags": "the compiler's flags",
    "source": "the source code of vcjax",
    "configuration": "the configuration",
}


@dataclasses.dataclass(frozen=True)
class Program:
    """One compiled program, for inputs of one shape.

    Attributes:
        call: takes the inputs that are not static.
        operations: of matrix products and convolutions, as `vcjax.parallel.flops` counts them.
    """

    call: Any
    operations: float


class Stored:
    """A compiled function whose programs are kept in a folder.

    ```python
    step = Stored(compilation.jit(step), Path("runs/x/programs"), name="stage_0", configuration="...")
    step(state, frozen, batch)     # from the folder if the program is there and still right; else compiled, and kept
    step.lower(state, frozen, batch)    # what the function has, it has
    ```

    A stored program that is damaged, or was made by another version, for another device or with another configuration,
    is replaced, and a warning says why.

    Args:
        function: what is compiled.
        folder: of the programs; None keeps none, and the function is called as it is.
        name: of the function among those of the folder; its own without it.
        configuration: all that its programs depend on beside its inputs and the source code.
    """

    def __init__(
        self,
        function: compilation.jit,
        folder: Path | None,
        *,
        name: str | None = None,
        configuration: str = "",
    ):
        self._function = function
        self._folder = folder
        self._name = name or function.__name__  # type: ignore[attr-defined]
        self._configuration = configuration
        self._programs: dict[Any, Program] = {}

    def __call__(self, *inputs: Any) -> Any:
        """What the function answers."""
        if self._folder is None:
            return self._function(*inputs)
        return self._program(inputs).call(*self._split(inputs)[1])

    def operations(self, *inputs: Any) -> float:
        """Floating-point operations of a call, counted where the function was traced."""
        if self._folder is None:
            return count(self._function.trace(*inputs))
        return self._program(inputs).operations

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._function, name)

    def _split(self, inputs: tuple[Any, ...]) -> tuple[list[Any], list[Any]]:
        """Static inputs and the others."""
        static = self._function.static
        others = [x for i, x in enumerate(inputs) if i not in static]
        return [inputs[i] for i in static], others

    def _program(self, inputs: tuple[Any, ...]) -> Program:
        static, others = self._split(inputs)
        shapes = _shapes(others)
        key = (*static, *shapes)
        if key not in self._programs:
            assert self._folder is not None
            path = self._folder / f"{self._name}-{_digest(str(shapes))[:16]}-{jax.process_index()}{SUFFIX}"
            identity = _identity(self._configuration + repr(static))
            self._programs[key] = _load(path, identity) or self._compile(path, identity, inputs)
        return self._programs[key]

    def _compile(self, path: Path, identity: dict[str, str], inputs: tuple[Any, ...]) -> Program:
        traced = self._function.afresh().trace(*inputs)  # what came from a cache cannot be stored
        with compilation.without_cache():
            program = Program(traced.lower().compile(), count(traced))
        try:
            body = pickle.dumps(serialize_executable.serialize(program.call))
        except (ValueError, NotImplementedError, jax.errors.JaxRuntimeError) as error:
            _warn(f"{path} is not written: this backend cannot store programs ({error})")
            return program
        header = {"identity": identity, "operations": program.operations, "sha256": _digest(body)}
        try:
            with replacing(path) as unfinished:
                unfinished.write_bytes(json.dumps(header).encode() + b"\n" + body)
        except BadInput as error:
            _warn(f"the program is compiled but not stored: {error}")
        return program


def _load(path: Path, identity: dict[str, str]) -> Program | None:
    """The program in a file; None, with a warning that says why, where there is a file that cannot serve."""
    try:
        head, _, body = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        _warn(f"{path} cannot be read ({error.strerror}), so the program is compiled")
        return None
    try:
        header = json.loads(head)
        stored, operations, sha256 = header["identity"], header["operations"], header["sha256"]
    except (ValueError, KeyError, TypeError):
        stored, operations, sha256 = {}, 0.0, ""
    if sha256 != _digest(body):
        _warn(f"{path} is damaged, so the program is compiled anew")
        return None
    for key, what in DECISIVE.items():
        if stored.get(key) != identity[key]:
            values = (
                f" ({stored.get(key)} then, {identity[key]} now)"
                if key in ("jax", "device", "devices")
                else ""
            )
            _warn(f"{path} was stored before {what} changed{values}, so the program is compiled anew")
            return None
    try:
        return Program(serialize_executable.deserialize_and_load(*pickle.loads(body)), operations)
    except (ValueError, jax.errors.JaxRuntimeError) as error:
        _warn(f"{path} cannot be loaded ({error}), so the program is compiled anew")
        return None


def _identity(configuration: str) -> dict[str, str]:
    """What `DECISIVE` names, here and now."""
    device = jax.devices()[0]
    return {
        "jax": f"{jax.__version__} and {jaxlib.__version__}",
        "backend": _digest(device.client.platform_version),
        "device": device.device_kind + (f" {_processor()}" if device.platform == "cpu" else ""),
        "devices": f"{jax.device_count()} in {jax.process_count()}",
        "flags": " ".join(
            (
                os.environ.get("XLA_FLAGS", ""),
                os.environ.get("LIBTPU_INIT_ARGS", ""),
                str(jax.config.values["jax_default_matmul_precision"]),
            )
        ),
        "source": _source(),
        "configuration": _digest(configuration),
    }


@functools.cache
def _source() -> str:
    """A checksum of the package's source code."""
    files = sorted(PACKAGE.rglob("*.py"))
    return _digest(b"".join(str(file.relative_to(PACKAGE)).encode() + file.read_bytes() for file in files))


@functools.cache
def _processor() -> str:
    """The model of this machine's processor and a checksum of what it can do, which compiled code relies on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    about = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)  # of the first core
    table = {key.strip(): value.strip() for key, value in about.items()}
    features = table.get("flags") or table.get("Features") or ""
    return f"{table.get('model name', platform.machine())} {_digest(features)[:8]}"


def _shapes(inputs: Any) -> tuple[Any, ...]:
    """What tells one program of a function from another: structure, shapes, types and shardings of its inputs."""
    leaves, structure = jax.tree.flatten(inputs)
    return structure, *((jax.typeof(x), _spec(x)) for x in leaves)


def _spec(x: Any) -> Any:
    """How an array is split over a mesh; None where it is not."""
    sharding = getattr(x, "sharding", None)
    return sharding.spec if isinstance(sharding, jax.sharding.NamedSharding) else None


def _digest(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def _warn(message: str) -> None:
    warnings.warn(message, VcjaxWarning, stacklevel=2)
