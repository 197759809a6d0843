"""`manage.py demo`: a help center to try out, on this machine only."""

from __future__ import annotations

import errno
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.core.servers.basehttp import get_internal_wsgi_application, run

from helpcenter import demo

HOST = "127.0.0.1"


class Command(BaseCommand):
    """Migrates, fills a help center the first time, and serves it."""

    help = "Serve a small help center with people to try out, at http://127.0.0.1:8000."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="another port than 8000")

    def handle(self, *args: Any, port: int, **options: Any) -> None:
        if not settings.DEMO:
            raise CommandError("Run it as `manage.py demo`: the demo has settings of its own.")
        if not 0 < port < 65536:
            raise CommandError(f"There is no port {port}; choose one from 1 to 65535.")
        settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
        self.stdout.write(f"Preparing the database in {settings.DATA_DIR} …")
        call_command("migrate", verbosity=0, interactive=False)
        self.stdout.write(
            "A small help center and six people were written."
            if demo.fill()
            else "The help center of last time is still there; delete the folder to begin anew."
        )
        self._serve(port)

    def _serve(self, port: int) -> None:
        def announce(bound: Any) -> None:
            self.stdout.write(f"Serving at http://{HOST}:{bound} (Ctrl-C ends it).")
            self.stdout.flush()

        application = get_internal_wsgi_application()
        try:
            run(HOST, port, application, threading=True, on_bind=announce)
        except KeyboardInterrupt:
            self.stdout.write("")
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise CommandError(f"Port {port} is in use; choose another one with --port.") from None
