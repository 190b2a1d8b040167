"""`python -m vcjax.cli` is `vcjax`."""

from vcjax.cli.app import main

if __name__ == "__main__":
    main()
