"""`python -m ostinato` is the command `ostinato`."""

from ostinato.launch.cli import run

if __name__ == "__main__":
    run()
