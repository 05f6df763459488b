"""What every test may ask for."""

from hypothesis import settings

pytest_plugins = ["tests.support.servers", "tests.support.collected", "tests.support.tensorflow_environment"]

# The same examples in every run; a slow machine is no failure.
settings.register_profile("freshet", derandomize=True, deadline=None, database=None)
settings.load_profile("freshet")
