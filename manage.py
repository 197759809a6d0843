#!/usr/bin/env python
"""Django's command line. `manage.py demo` turns the demo settings on before they are read."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "helpcenter.settings")
    if sys.argv[1:2] == ["demo"]:
        os.environ["DEMO"] = "1"
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
