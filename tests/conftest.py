"""What every test may ask for."""

import os
import signal

from hypothesis import settings

KEPT = {"FRESHET_CACHE", "FRESHET_KAFKA_IMAGE"}

# A person's own servers and settings are no part of a test.
for name in [
    name for name in os.environ if name.startswith("FRESHET_") or name in {"KAFKA_BOOTSTRAP", "MILVUS_URI", "REDIS_URL"}
]:
    if name not in KEPT:
        del os.environ[name]

# A shell starts what is in the background with SIGINT ignored, and so would the processes that tests interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.support.servers", "tests.support.collected", "tests.support.tensorflow_environment"]

# The same examples in every run; a slow machine is no failure.
settings.register_profile("freshet", derandomize=True, deadline=None, database=None)
settings.load_profile("freshet")
