"""Run by an interpreter with TensorFlow: `python tensorflow_writer.py PLAIN GZIP`, samples as JSON on stdin.

Each sample is a list of features: `[name, type, values]`. TensorFlow's own classes serialize them, in the order of
their own map, and TensorFlow's own writer frames them: into the file PLAIN, and compressed into the file GZIP.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

tf: Any = importlib.import_module("tensorflow")  # by name: the type checker of the project has no TensorFlow


def example(features: list[tuple[str, str, list[Any]]]) -> bytes:
    """Return one sample as TensorFlow writes it."""
    made = {}
    for name, kind, values in features:
        if kind == "bytes":
            made[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode() for value in values]))
        elif kind == "float":
            floats = [float.fromhex(value) for value in values]
            made[name] = tf.train.Feature(float_list=tf.train.FloatList(value=floats))
        else:
            made[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    return bytes(tf.train.Example(features=tf.train.Features(feature=made)).SerializeToString())


if __name__ == "__main__":
    plain, compressed = sys.argv[1:]
    records = [example(features) for features in json.load(sys.stdin)]
    for path, options in ((plain, None), (compressed, tf.io.TFRecordOptions(compression_type="GZIP"))):
        with tf.io.TFRecordWriter(path, options) as writer:
            for record in records:
                writer.write(record)
