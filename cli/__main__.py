"""`python -m cli`: busctl by another name."""

from cli.main import main

if __name__ == "__main__":
    main()
