"""Run by an interpreter with TensorFlow: `python tensorflow_reader.py FILE ...`, a description as JSON on stdin.

The description names scalar features and lists with their types. Prints one JSON value a file: its records as
TensorFlow's own parser sees them, bytes as text; or the name of TensorFlow's error.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

tf: Any = importlib.import_module("tensorflow")  # by name: the type checker of the project has no TensorFlow

TYPES = {"bytes": tf.string, "int64": tf.int64, "float": tf.float32}
MISSING = {"bytes": b"<missing>", "int64": -1, "float": float("nan")}


def plain(value: Any) -> Any:
    """Turn what a tensor holds into what JSON can say; floats in hex, so that no digit is lost."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode()
    return value.hex() if isinstance(value, float) else value


def records_of(path: str, description: dict[str, dict[str, str]]) -> list[dict[str, Any]] | str:
    """Parse all records of a file at once."""
    features = {name: tf.io.FixedLenFeature([], TYPES[t], MISSING[t]) for name, t in description["scalars"].items()}
    features |= {name: tf.io.RaggedFeature(TYPES[t]) for name, t in description["lists"].items()}
    try:
        records = list(tf.data.TFRecordDataset(path).as_numpy_iterator())
    except tf.errors.OpError as error:
        return type(error).__name__
    parsed = tf.io.parse_example(tf.constant(records, dtype=tf.string), features)
    columns = {name: parsed[name].to_list() for name in description["lists"]}
    columns |= {name: parsed[name].numpy().tolist() for name in description["scalars"]}
    return [{name: plain(column[number]) for name, column in columns.items()} for number in range(len(records))]


if __name__ == "__main__":
    described = json.load(sys.stdin)
    for file in sys.argv[1:]:
        print(json.dumps(records_of(file, described)))
