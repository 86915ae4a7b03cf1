"""pytest --nbval reads the notebooks here; the sources beside them are no modules (the builder fills in their exercises)."""

collect_ignore_glob = ["*.py"]
