"""Every error that Freshet raises on purpose.

An error answers what its catcher asks: what happened (`str(error)`), what to do about it (`hint`), and which exit code
a command ends with (`exit_code`: 2 when a person has to change something, 1 when the machine failed).
"""

from __future__ import annotations

from typing import final


class FreshetError(Exception):
    """Root of all named errors; `hint` is one sentence that says what to do."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class OperatorError(FreshetError):
    """A person has to change an argument, a setting, a file or an installation before it can work."""

    exit_code = 2


class UsageError(OperatorError):
    """The command line or a setting is wrong."""


class DayRefused(UsageError):
    """A day is unlike the days before it; a person may say why it is trained on all the same."""


class MissingInput(OperatorError):
    """A file, a folder, a day or a base that was named does not exist or holds nothing."""


class MissingServer(OperatorError):
    """A server that is needed neither answers nor can be started here."""


class AccessRefused(OperatorError):
    """A server answers, and refuses who we are, how we speak, or what we want to do."""


class Disorder(OperatorError):
    """A log that has to be ordered by time is not."""


@final
class EventRejected(FreshetError):
    """A record is no event. `reason` is one of `contracts.events.REASONS` and becomes a counter and a dead letter."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Corrupt(FreshetError):
    """Bytes on disk are not what was written: torn, truncated or flipped. `where` is an offset or a field."""

    def __init__(self, what: str, where: str, *, hint: str = "") -> None:
        super().__init__(f"{what} is damaged at {where}")
        self.what = what
        self.where = where
        self.hint = hint or "Restore the file from a copy, or rebuild it from the event log."


class TooLarge(OperatorError):
    """A file holds, or decompresses to, more than is read at once."""


class UnknownSchema(FreshetError):
    """A file was written by a version with another schema."""


class StateDamaged(Corrupt):
    """A state DB is damaged. It is a cache: whoever owns it empties it and rebuilds."""


class StateHeld(FreshetError):
    """A state DB is open in another process, which may be asleep; it is a cache, so another can be begun."""


class ProcessFailed(FreshetError):
    """A process that this one has started ended with an error; `exit_code` is the one that the error deserves."""

    def __init__(self, message: str, *, hint: str = "", exit_code: int = 1) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


class ChainTaken(FreshetError):
    """Somebody else created the manifest that this process wanted to create: it no longer owns the chain."""


class ChainBroken(FreshetError):
    """A chain has a gap, a fork, or a manifest whose data file is gone."""


class WrongParent(FreshetError):
    """A delta was offered to a state that it was not made from: another base, another parent, or with a gap."""


class FoldDiffers(FreshetError):
    """A chain holds something else than what its samples fold to: a law is broken, or the bits are of another CPU."""


class LogChanged(OperatorError):
    """The topic is not the one that the chain was made from: another id, another partition count."""


class LogLost(OperatorError):
    """The log no longer holds records that are needed: it starts too late or ends too early."""


class PublishRefused(FreshetError):
    """A version did not pass a gate; the one served before stays served."""


class NothingServed(OperatorError):
    """No version has been published yet."""


class Overtaken(OperatorError):
    """What a person decided upon is no longer what is served: somebody published or rolled back meanwhile."""
