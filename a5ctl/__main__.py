"""`python -m a5ctl`: the same program as the console script."""

from a5ctl.app import main

if __name__ == "__main__":
    main()
