"""What can be trained: files with `get_config()` for `python -m vcjax.training --config=FILE`."""

from vcjax.parallel.rules import RULES

# Of every configuration: all devices of all hosts, one clip's frames on one of them, and which parameters `fsdp` splits.
DEVICES = {"mesh": {"data": -1, "fsdp": 1, "frames": 1}, "rules": RULES}
