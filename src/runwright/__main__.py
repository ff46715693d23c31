"""`python -m runwright`."""

from runwright.surfaces.cli.main import main

main()
