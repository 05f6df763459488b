"""Which partition a user lives in: Kafka's default partitioner, shared by producer, replay, trainer and serving."""

from __future__ import annotations

from functools import lru_cache

PARTITIONER = "murmur2"

_SEED, _M, _MASK = 0x9747B28C, 0x5BD1E995, 0xFFFFFFFF


def murmur2(key: bytes) -> int:
    """Austin Appleby's MurmurHash2 with Kafka's seed, as an unsigned 32-bit number."""
    hashed = (_SEED ^ len(key)) & _MASK
    whole = len(key) & ~3
    for at in range(0, whole, 4):
        word = int.from_bytes(key[at : at + 4], "little") * _M & _MASK
        word = (word ^ (word >> 24)) * _M & _MASK
        hashed = hashed * _M & _MASK ^ word
    if whole < len(key):
        hashed = (hashed ^ int.from_bytes(key[whole:], "little")) * _M & _MASK
    hashed = (hashed ^ (hashed >> 13)) * _M & _MASK
    return hashed ^ (hashed >> 15)


@lru_cache(maxsize=1 << 16)
def partition_of(user_id: str, partitions: int) -> int:
    """Return the partition of `user_id` among `partitions`, as Kafka's Java client would for the same key."""
    return (murmur2(user_id.encode()) & 0x7FFFFFFF) % partitions
