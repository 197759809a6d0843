"""Compiles the translations for the wheel, so that whoever installs it needs no Babel."""

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompiledTranslations(BuildHookInterface):
    """Hatch finds it here: [tool.hatch.build.targets.wheel.hooks.custom] in pyproject.toml."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the compiled files beside their texts; `artifacts` in pyproject.toml packs them."""
        sys.path.insert(0, self.root)
        from segments.catalogs import compile_stale

        compile_stale(Path(self.root) / "segments" / "locale")
