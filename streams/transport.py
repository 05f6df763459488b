"""Faust's Kafka transport, reading only committed records; Faust has no setting for that but its own transactions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

from aiokafka.structs import OffsetAndMetadata
from faust import SASLCredentials, SSLCredentials
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.access import Access

COMMIT_S = 5.0


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    def _create_consumer(self, loop: asyncio.AbstractEventLoop) -> Any:
        consumer = super()._create_consumer(loop)
        consumer._isolation_level = "read_committed"
        return consumer

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit what is assigned; Faust's own crashes the app at any error, and waits for a broker without end.

        Raises aiokafka's `KafkaError`, `TimeoutError` after `COMMIT_S`.
        """
        assigned = self.assignment()
        known = {
            driver.ensure_aiokafka_TP(tp): OffsetAndMetadata(at, "") for tp, at in offsets.items() if tp in assigned
        }
        await asyncio.wait_for(self._ensure_consumer().commit(known), COMMIT_S)
        return True


class _Consumer(driver.Consumer):
    def _new_consumer_thread(self) -> Any:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)


class ReadCommitted(driver.Transport):
    """The transport that an app gets instead of the default one."""

    Consumer: ClassVar[Any] = _Consumer


def credentials(access: Access) -> Any:
    """Return what Faust takes as `broker_credentials`: None where the brokers ask nothing."""
    if access.uses_sasl:
        return SASLCredentials(
            username=access.sasl_username,
            password=access.password,
            mechanism=access.sasl_mechanism,
            ssl_context=access.tls,
        )
    return SSLCredentials(access.tls) if access.uses_tls else None
