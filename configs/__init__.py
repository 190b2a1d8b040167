"""Training configurations: files with `get_config()`, for `vcjax train --config=NAME`.

The package finds them as `vcjax.configs`, in a checkout and in an installed wheel. Keys that a file leaves
out have the defaults of `vcjax.training.config`; `vcjax train --config=NAME --print-config` prints all of
them.
"""
