"""Structure of the code base: imports go down only, files are small, a bare machine can import it, all has docstrings."""

import ast
import importlib.util
import inspect
import pkgutil
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import vcjax

PACKAGE = Path(vcjax.__file__).parent
FLOORS = [
    {"errors"},
    {"input_files"},
    {"files", "settings", "platforms", "progress"},
    {"kernels", "video", "diffusion"},
    {"models", "parallel"},
    {"conditions"},
    {"weights"},
    {"composer"},
    {"data"},
    {"training", "evaluation"},
    {"planning"},
    {"configs"},
    {"app"},
    {"cli", "demo"},
    {"__main__"},
]
MODULES = {m.name for m in pkgutil.walk_packages([str(PACKAGE)], "vcjax.")}
BARE = (
    "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "einops", "safetensors", "jaxtyping",
    "ml_collections", "absl-py",
)  # fmt: skip


def modules():
    assert len(MODULES) > 30
    return sorted(MODULES)


def sources():
    """Every Python file of the repository but those that git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=PACKAGE.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    paths = [PACKAGE.parent / name for name in listed.stdout.split("\0") if name]
    if not paths:
        pytest.skip("not a git repository")
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def test_no_file_is_longer_than_400_lines_and_no_function_longer_than_70():
    long = []
    for path in sources():
        text = path.read_text()
        if text.count("\n") > 400:
            long.append(path.name)
        functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
        long += [f"{path.name}: {f.name}" for f in functions if f.end_lineno - f.lineno >= 70]
    assert long == []


def floor(room):
    (found,) = [i for i, rooms in enumerate(FLOORS) if room in rooms]
    return found


def imports(name):
    """Names of our own modules that a module imports, anywhere in it."""
    source = Path(importlib.util.find_spec(name).origin).read_text()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vcjax"):
            known = [f"{node.module}.{alias.name}" for alias in node.names]
            submodules = [each for each in known if each in MODULES]
            yield from submodules
            if len(submodules) < len(known):
                yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("vcjax."))


def test_imports_go_down_only():
    checked = 0
    for name in modules():
        room = name.split(".")[1]
        for other in imports(name):
            if other == "vcjax":
                continue
            target = other.split(".")[1]
            checked += 1
            allowed = target == room or floor(target) < floor(room)
            assert allowed, f"{name} imports {other}, which is not on a floor below"
    assert checked > 50


def test_no_module_imports_itself_through_others():
    waiting = {name: {other for other in imports(name) if other != name} for name in modules()}
    while free := [name for name, others in waiting.items() if not others & waiting.keys()]:
        for name in free:
            del waiting[name]
    assert sorted(waiting) == []


def with_their_needs(names):
    """Distributions and all that they require, extras left out, by normalised name."""
    found, waiting = set(), list(names)
    while waiting:
        name = waiting.pop().lower().replace("_", "-").replace(".", "-")
        if name in found:
            continue
        try:
            requirements = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # needed on another platform or Python only
            continue
        found.add(name)
        waiting += [re.match(r"[\w.-]+", r)[0] for r in requirements if "extra ==" not in r]
    return found


def test_a_bare_accelerator_machine_imports_all_but_video_files_and_the_command_line():
    """With only the JAX libraries installed; video files, the command line and the demo need more."""
    there = with_their_needs(BARE)
    absent = [
        module
        for module, owners in metadata.packages_distributions().items()
        if not there & {owner.lower().replace("_", "-").replace(".", "-") for owner in owners}
        and module != "vcjax"
    ]
    assert {
        "av",
        "PIL",
        "transformers",
        "tokenizers",
        "typer",
        "ftfy",
        "grain",
        "tensorflow_datasets",
    } <= set(absent)
    files = (
        "read", "write", "motion", "resize", "sequence", "audio", "sources", "stream_motion", "stream_vectors"
    )  # fmt: skip
    needing_more = {f"vcjax.video.{name}" for name in files}
    needing_more |= {"vcjax.data.builder", "vcjax.demo", "vcjax.__main__"}
    names = [n for n in modules() if n not in needing_more and not n.startswith("vcjax.cli")]
    assert len(names) > 40
    blocker = f"""
import importlib, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {set(absent)!r}:
            raise ImportError("not on a bare machine: " + name)
sys.meta_path.insert(0, Blocker())
for name in {names!r}:
    importlib.import_module(name)
print("imported", len({names!r}))
"""
    done = subprocess.run([sys.executable, "-c", blocker], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"imported {len(names)}" in done.stdout


def public_functions():
    for name in modules():
        module = importlib.import_module(name)
        for attribute, thing in vars(module).items():
            mine = getattr(thing, "__module__", None) == name and not attribute.startswith("_")
            if mine and (inspect.isfunction(thing) or inspect.isclass(thing)):
                yield f"{name}.{attribute}", thing


def test_everything_public_has_a_docstring():
    things = list(public_functions())
    assert len(things) > 100
    silent = [name for name, thing in things if not inspect.getdoc(thing)]
    assert silent == []


def test_no_tensorflow_and_no_torch_come_with_the_package():
    installed = subprocess.run([sys.executable, "-c", "import tensorflow"], capture_output=True, check=False)
    assert installed.returncode != 0


@pytest.mark.parametrize("name", vcjax.__all__)
def test_every_public_name_is_there(name):
    assert getattr(vcjax, name) is not None
