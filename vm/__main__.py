"""`python -m vm`: the command line, where `vm` is not on the PATH."""

from vm.cli import main

if __name__ == "__main__":
    main()
