"""What a wheel carries besides the code: data/ and the blank labs. An editable install reads them from the checkout itself."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CarryTheLabs(BuildHookInterface):
    """Put data/, labs/ and pyproject.toml under lablib/_share in a real wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds; `version` is "standard" or "editable"."""
        if version != "editable":
            for name in ("data", "labs", "pyproject.toml"):
                build_data["force_include"][f"{self.root}/{name}"] = f"lablib/_share/{name}"
