"""`python -m tulle_lab`: the lab's commands without the rest of `tulle`."""

from tulle_lab.commands import lab

if __name__ == "__main__":
    lab(prog_name="tulle lab")
