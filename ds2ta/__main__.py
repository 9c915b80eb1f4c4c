"""`python -m ds2ta` is the command `ds2ta`."""

from ds2ta.commands.main import main

main()
