"""What a wheel carries besides the code: data/ and the blank labs. An editable install reads them from the checkout itself."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CarryTheLabs(BuildHookInterface):
    """Put data/, labs/ and pyproject.toml under lablib/_share in a real wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds; `version` is "standard" or "editable"."""
        if version == "editable":
            return
        root = Path(self.root)
        files = [root / "pyproject.toml", *(p for name in ("data", "labs") for p in sorted((root / name).rglob("*")))]
        for path in files:
            inside = path.relative_to(root)
            if path.is_file() and not any(part.startswith(".") for part in inside.parts):  # no .ipynb_checkpoints
                build_data["force_include"][str(path)] = f"lablib/_share/{inside.as_posix()}"
