"""Compiles translations, of which only the texts are in the repository.

The wheel has them compiled (hatch_build.py); a site that runs from the repository compiles them
when it starts. Only this needs Babel, so nothing else in the plugin imports it.
"""

from __future__ import annotations

import os
from pathlib import Path


def compile_stale(folder: Path) -> None:
    """Write each django.mo below the folder that is missing or older than its django.po."""
    for source in folder.glob("*/LC_MESSAGES/django.po"):
        compiled = source.with_suffix(".mo")
        if not compiled.exists() or compiled.stat().st_mtime < source.stat().st_mtime:
            _compile(source, compiled)


def _compile(source: Path, compiled: Path) -> None:
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    # Several processes may start at once: each writes its own file and puts it in place whole.
    fresh = compiled.with_name(f"{compiled.name}.{os.getpid()}")
    with source.open("rb") as texts, fresh.open("wb") as target:
        write_mo(target, read_po(texts))
    fresh.replace(compiled)
