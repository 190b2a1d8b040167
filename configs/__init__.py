"""What can be trained: files with `get_config()` for `python -m vcjax.training --config=FILE`."""
