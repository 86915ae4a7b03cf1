"""What holds for all tests: a property may take as long as it needs, since a busy machine is no defect."""

from hypothesis import settings

settings.register_profile("house", deadline=None)
settings.load_profile("house")
