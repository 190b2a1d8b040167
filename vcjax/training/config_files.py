"""Read a training configuration: a file of `configs/`, completed with every default, then `--config.KEY=VALUE` overrides."""

import importlib.util
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

import vcjax
from vcjax.composer.model_config import model_to_config
from vcjax.errors import BadInput
from vcjax.settings import defaults_of
from vcjax.training.config import INHERITED, Run, Stage, run_from_config

CONFIGS = Path(vcjax.__file__).parent / "configs"  # the repository's `configs/`, which the wheel holds too
PRINT = "print-config"


def read_config(arguments: list[str]) -> tuple[ConfigDict, bool]:
    """Return the completed configuration that command-line arguments name, and whether it is to be printed.

    Args:
        arguments: `--config=NAME` (a file of `configs/`, without `.py`) or `--config=FILE`, any number of
            `--config.KEY=VALUE`, and `--print-config`.

    Raises:
        BadInput: no such file or key, or a value of another type.
    """
    command, file, rest = "vcjax train", None, []
    for argument in arguments:
        name, _, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and name == "config":
            file = value
        else:
            rest.append(argument)
    if not file:
        raise BadInput(
            f"{command} needs --config=NAME or --config=FILE, such as --config=sprites; names are "
            f"{', '.join(known_configs())}"
        )
    config = complete(load_file(file))
    values = flags.FlagValues()
    flags.DEFINE_bool(PRINT, False, "Print the resolved configuration and stop.", flag_values=values)
    argv = [command, *rest]
    try:
        config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=argv)
        unknown = values(argv)[1:]
    except (flags.Error, AttributeError, LookupError, TypeError, ValueError) as error:
        raise BadInput(f"configuration: {_sentence(error)}") from error
    if unknown:
        raise BadInput(
            f"{command} takes --config=NAME and --config.KEY=VALUE, not {unknown[0]!r}; "
            f"--config={file} --{PRINT} lists the keys"
        )
    return config, bool(values[PRINT].value)


def read_run(arguments: list[str]) -> Run:
    """Return the run that command-line arguments name; see `read_config`.

    Raises:
        BadInput: see `read_config` and `run_from_config`.
    """
    return run_from_config(plain(read_config(arguments)[0]))


def known_configs() -> list[str]:
    """Return the names of the files in `configs/`."""
    files = (path.relative_to(CONFIGS) for path in CONFIGS.rglob("*.py") if path.name != "__init__.py")
    return sorted(path.with_suffix("").as_posix() for path in files)


def load_file(name: str) -> ConfigDict:
    """Run `get_config()` of a configuration file.

    Args:
        name: the path of a Python file, or the name of one in `configs/`, such as `sprites` or `pretrain/depth`; what
            follows a colon is the argument of `get_config`, as in `condition:models/canny`.

    Raises:
        BadInput: there is no such file, it fails, or it has no `get_config()`.
    """
    name, colon, argument = name.partition(":")
    path = Path(name)
    if path.suffix != ".py":
        path = CONFIGS / f"{name}.py"
        if not path.is_file():
            raise BadInput(
                f"configuration: there is no {name!r} among {', '.join(known_configs())}; "
                "give one of these, or the path of a .py file"
            )
    elif not path.is_file():
        raise BadInput(f"configuration: there is no file {name}")
    working_folder = str(Path.cwd())
    if working_folder not in sys.path:  # a configuration may import modules beside it
        sys.path.insert(0, working_folder)
    spec = importlib.util.spec_from_file_location("vcjax_config", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        config = module.get_config(argument) if colon else module.get_config()
    except BadInput:
        raise
    except Exception as error:  # the file is the user's own program and may raise anything
        raise BadInput(
            f"configuration: {name} fails with {type(error).__name__}: {_sentence(error)}"
        ) from error
    if not isinstance(config, ConfigDict):
        raise BadInput(
            f"configuration: get_config() of {name} must return a ConfigDict, not {type(config).__name__}"
        )
    return config


def complete(config: Any) -> Any:
    """Return a configuration with every key that a run has, so that each can be overridden and printed.

    `optimizer` and `sprites` of a stage refer to the run's for the keys that the stage leaves out: an override of the
    run's key holds for the stage too.

    Raises:
        BadInput: the configuration is not that of a run.
    """
    table = plain(config)
    run = run_from_config(table)  # what is wrong is named before it is completed
    full: dict[str, Any] = _merged(defaults_of(Run), table)
    full["model"] = model_to_config(run.spec())
    full = _tuples(full)
    full.pop("stages")
    completed: Any = ConfigDict(full)
    completed.stages = tuple(_complete_stage(completed, stage) for stage in table["stages"])
    return completed


def plain(value: Any) -> Any:
    """Return nested ml_collections tables as dictionaries and lists, references resolved."""
    if isinstance(value, ConfigDict):
        return {key: plain(value[key]) for key in value}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def override_lines(config: ConfigDict) -> Iterator[str]:
    """Yield a completed configuration as command-line arguments, one for each leaf."""
    for path, value in leaves(plain(config)):
        yield shlex.quote(f"--config.{path}={_literal(value)}")


def leaves(table: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the path and the value of each leaf of a configuration; lists of tables are indexed as in `stages[0]`."""
    if isinstance(table, Mapping):
        for key, value in table.items():
            yield from leaves(value, f"{path}.{key}" if path else key)
    elif isinstance(table, list) and table and all(isinstance(item, Mapping) for item in table):
        for index, item in enumerate(table):
            yield from leaves(item, f"{path}[{index}]")
    else:
        yield path, value_of(table)


def value_of(leaf: Any) -> Any:
    """Return a leaf as the configuration holds it: lists as tuples."""
    return tuple(value_of(item) for item in leaf) if isinstance(leaf, list) else leaf


def _literal(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _complete_stage(run: Any, stage: Mapping[str, Any]) -> Any:
    completed: Any = ConfigDict(_tuples(_merged(defaults_of(Stage), stage)))
    for key in INHERITED:
        own = stage.get(key, {})
        for name in run[key]:
            if name in own:
                continue
            if isinstance(run[key][name], ConfigDict):
                completed[key][name] = ConfigDict(
                    {k: run[key][name].get_oneway_ref(k) for k in run[key][name]}
                )
            else:
                completed[key][name] = run[key].get_oneway_ref(name)
    return completed


def _merged(defaults: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table with defaults for the keys that it lacks, nested tables likewise."""
    merged = dict(defaults)
    for key, value in table.items():
        before = merged.get(key)
        merged[key] = (
            _merged(before, value) if isinstance(before, Mapping) and isinstance(value, Mapping) else value
        )
    return merged


def _tuples(value: Any) -> Any:
    """Return a table with tuples in place of lists, which alone can be overridden."""
    if isinstance(value, Mapping):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value


def _sentence(error: Exception) -> str:
    """Return what an error means for somebody who wrote a key or a value."""
    text = " ".join(str(error).split())
    name = text.strip("\"'")
    if isinstance(error, AttributeError | KeyError) and name.isidentifier():
        return f"there is no key {name}; --{PRINT} lists the keys"
    if isinstance(error, IndexError):
        return f"{text}; in --config.KEY[N]=VALUE, N counts from 0"
    return text
