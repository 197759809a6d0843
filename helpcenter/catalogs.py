"""Compiles the translations of the interface, of which only the texts are in the repository."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

logger = logging.getLogger("helpcenter")

LOCALES = Path(__file__).resolve().parent / "locale"


def compile_stale(folder: Path = LOCALES) -> None:
    """Write each django.mo that is missing or older than its django.po.

    Where the folder cannot be written the interface is in English, and the log says so.
    """
    for source in folder.glob("*/LC_MESSAGES/django.po"):
        compiled = source.with_suffix(".mo")
        if compiled.exists() and compiled.stat().st_mtime >= source.stat().st_mtime:
            continue
        try:
            _compile(source, compiled)
        except OSError as error:
            logger.warning("The interface stays untranslated: %s", error)


def _compile(source: Path, compiled: Path) -> None:
    # Several processes may start at once: each writes its own file and puts it in place whole.
    fresh = compiled.with_name(f"{compiled.name}.{os.getpid()}")
    with source.open("rb") as texts, fresh.open("wb") as target:
        write_mo(target, read_po(texts))
    fresh.replace(compiled)
