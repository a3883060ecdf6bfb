"""`python -m panolink.cli`: the command without its script, as `torchrun` wants it."""

from panolink.cli import main

if __name__ == "__main__":
    main()
