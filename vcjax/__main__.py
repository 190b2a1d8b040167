"""Entry point of `python -m vcjax`, the command `vcjax`."""

from vcjax.cli import main

if __name__ == "__main__":
    main()
