"""data/manifest.json: every file that the course carries, with its SHA-256, size, licence and what made it.

`lab manifest` brings sizes and sums up to date after a file was changed, adds new files and drops those that are gone. What
a person has to know, the licence and how the file was made, is kept for known files and said once for new ones.
"""

import hashlib
import json
from pathlib import Path

BY_HAND = "authored by hand"
LICENCE = "MIT"
Entry = dict[str, str | int]


def carried(data: Path) -> list[str]:
    """The files under a data folder by name, without the manifest itself and hidden files."""
    return sorted(
        path.relative_to(data).as_posix()
        for path in data.rglob("*")
        if path.is_file() and path.name != "manifest.json" and not path.name.startswith(".")
    )


def describe(path: Path, licence: str, made_by: str) -> Entry:
    """One file's entry."""
    content = path.read_bytes()
    return {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "licence": licence,
        "made_by": made_by,
    }


def renew(data: Path, made_by: str = BY_HAND, licence: str = LICENCE) -> list[str]:
    """Rewrite a data folder's manifest; a line for each file that is new, changed or gone.

    Args:
        data: the folder with manifest.json in it.
        made_by, licence: what new files get.

    Raises:
        ValueError: the manifest is there but no JSON with "files".
    """
    path = data / "manifest.json"
    try:
        before: dict[str, Entry] = json.loads(path.read_text(encoding="utf-8"))["files"] if path.exists() else {}
    except (json.JSONDecodeError, KeyError) as problem:
        raise ValueError(f'{path} is no manifest ({problem!r}): expected JSON with "files"; restore it') from None
    after, said = {}, []
    for name in carried(data):
        known = before.get(name, {})
        after[name] = describe(data / name, str(known.get("licence", licence)), str(known.get("made_by", made_by)))
        if not known:
            said.append(f"new      {name} ({after[name]['licence']}, {after[name]['made_by']})")
        elif known["sha256"] != after[name]["sha256"]:
            said.append(f"changed  {name}")
    said += [f"gone     {name}" for name in before if name not in after]
    path.write_text(json.dumps({"files": after}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return said
