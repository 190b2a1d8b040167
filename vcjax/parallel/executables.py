"""Storage of compiled executables on disk: later processes run them without tracing, lowering or compiling.

A stored executable is machine code and is loaded with pickle: only load files from sources that you trust.
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
# Properties that must agree for a stored executable to be valid, and their names in warnings.
IDENTITY_FIELDS = {
    "jax": "jax and jaxlib",
    "backend": "the backend",
    "device": "the device",
    "devices": "the number of devices",
    "flags": "the compiler's flags",
    "source": "the source code of vcjax",
    "configuration": "the configuration",
}


@dataclasses.dataclass(frozen=True)
class Executable:
    """A compiled executable for inputs of one shape.

    Attributes:
        call: compiled function of the non-static inputs.
        operations: floating-point operations of matrix products and convolutions; see `vcjax.parallel.flops`.
    """

    call: Any
    operations: float


class ExecutableCache:
    """A compiled function that stores its executables in a folder.

    ```python
    step = ExecutableCache(compilation.jit(step), Path("runs/x/programs"), name="stage_0", configuration="...")
    step(state, frozen, batch)          # loads a valid executable from the folder, or compiles and stores one
    step.lower(state, frozen, batch)    # has all attributes of the function
    ```

    A stored executable that is damaged, or was compiled with another version, device or configuration, is
    replaced with a warning that names the reason.

    Args:
        function: function to compile.
        folder: folder of the executables; if None, the function is called directly and nothing is stored.
        name: name of the function in the folder; its own name if None.
        configuration: everything that the executables depend on besides the inputs and the source code.
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
        self._executables: dict[Any, Executable] = {}

    def __call__(self, *inputs: Any) -> Any:
        """Call the function with a stored or newly compiled executable."""
        if self._folder is None:
            return self._function(*inputs)
        return self._executable(inputs).call(*self._split(inputs)[1])

    def operations(self, *inputs: Any) -> float:
        """Return the number of floating-point operations of a call; see `vcjax.parallel.flops`."""
        if self._folder is None:
            return count(self._function.trace(*inputs))
        return self._executable(inputs).operations

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._function, name)

    def _split(self, inputs: tuple[Any, ...]) -> tuple[list[Any], list[Any]]:
        """Split inputs into static and other inputs."""
        static = self._function.static
        others = [x for i, x in enumerate(inputs) if i not in static]
        return [inputs[i] for i in static], others

    def _executable(self, inputs: tuple[Any, ...]) -> Executable:
        static, others = self._split(inputs)
        shapes = _shapes(others)
        key = (*static, *shapes)
        if key not in self._executables:
            assert self._folder is not None
            path = self._folder / f"{self._name}-{_digest(str(shapes))[:16]}-{jax.process_index()}{SUFFIX}"
            identity = _identity(self._configuration + repr(static))
            self._executables[key] = _load(path, identity) or self._compile(path, identity, inputs)
        return self._executables[key]

    def _compile(self, path: Path, identity: dict[str, str], inputs: tuple[Any, ...]) -> Executable:
        traced = self._function.without_compiled().trace(*inputs)  # executables from a cache cannot be stored
        with compilation.without_cache():
            executable = Executable(traced.lower().compile(), count(traced))
        try:
            body = pickle.dumps(serialize_executable.serialize(executable.call))
        except (ValueError, NotImplementedError, jax.errors.JaxRuntimeError) as error:
            _warn(f"{path} is not written: this backend cannot serialise executables ({error})")
            return executable
        header = {"identity": identity, "operations": executable.operations, "sha256": _digest(body)}
        try:
            with replacing(path) as unfinished:
                unfinished.write_bytes(json.dumps(header).encode() + b"\n" + body)
        except BadInput as error:
            _warn(f"the program was compiled but not stored: {error}")
        return executable


def _load(path: Path, identity: dict[str, str]) -> Executable | None:
    """Load an executable; None if the file is missing or, with a warning that names the reason, not valid."""
    try:
        header_line, _, body = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        _warn(f"{path} cannot be read ({error.strerror}), so the program is recompiled")
        return None
    try:
        header = json.loads(header_line)
        stored, operations, sha256 = header["identity"], header["operations"], header["sha256"]
    except (ValueError, KeyError, TypeError):
        stored, operations, sha256 = {}, 0.0, ""
    if sha256 != _digest(body):
        _warn(f"{path} is damaged, so the program is recompiled")
        return None
    for key, label in IDENTITY_FIELDS.items():
        if stored.get(key) != identity[key]:
            values = (
                f" ({stored.get(key)} then, {identity[key]} now)"
                if key in ("jax", "device", "devices")
                else ""
            )
            _warn(f"{path} was stored before {label} changed{values}, so the program is recompiled")
            return None
    try:
        return Executable(serialize_executable.deserialize_and_load(*pickle.loads(body)), operations)
    except (ValueError, jax.errors.JaxRuntimeError) as error:
        _warn(f"{path} cannot be loaded ({error}), so the program is recompiled")
        return None


def _identity(configuration: str) -> dict[str, str]:
    """Return the current values of `IDENTITY_FIELDS`."""
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
    """Return a checksum of the package's source code."""
    files = sorted(PACKAGE.rglob("*.py"))
    return _digest(b"".join(str(file.relative_to(PACKAGE)).encode() + file.read_bytes() for file in files))


@functools.cache
def _processor() -> str:
    """Return the CPU model and a checksum of its feature flags, which compiled code depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)  # of the first core
    cpu = {key.strip(): value.strip() for key, value in fields.items()}
    features = cpu.get("flags") or cpu.get("Features") or ""
    return f"{cpu.get('model name', platform.machine())} {_digest(features)[:8]}"


def _shapes(inputs: Any) -> tuple[Any, ...]:
    """Return structure, shapes, types and shardings of inputs, which identify an executable."""
    leaves, treedef = jax.tree.flatten(inputs)
    return treedef, *((jax.typeof(x), _spec(x)) for x in leaves)


def _spec(x: Any) -> Any:
    """Return the partition spec of an array; None if it has no mesh sharding."""
    sharding = getattr(x, "sharding", None)
    return sharding.spec if isinstance(sharding, jax.sharding.NamedSharding) else None


def _digest(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def _warn(message: str) -> None:
    warnings.warn(message, VcjaxWarning, stacklevel=2)
