"""The command line of `jaxkd.import_teacher`."""

from jaxkd.import_teacher.command import main

if __name__ == "__main__":
  main()
