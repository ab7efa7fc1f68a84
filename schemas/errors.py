"""The error tree of the whole project, with what each leaf asks of its catcher.

::

    MarketflowError
    ├── SettingsError          stop: the configuration or the environment is wrong
    ├── SchemaTooNewError      stop: the database was migrated by a newer release
    ├── StateTooNewError       stop: a newer release wrote the recovery store
    ├── DecodeError            dead-letter: this record cannot be understood
    ├── FeedError
    │   ├── SequenceGapError       resubscribe: an update of the book is missing
    │   └── ChecksumMismatchError  resubscribe: the book differs from the exchange's
    └── DeliveryError
        ├── UnavailableError   retry: the other side is down or overloaded
        │   └── BusyError          retry: it is well and has too much to do
        └── UndeliveredError   stop: the epoch is not durable and must be replayed

It lives in ``schemas`` because decoders raise it and nothing lies below them.
"""


class MarketflowError(Exception):
    """Anything that this project raises on purpose."""


class SettingsError(MarketflowError):
    """Configuration or environment is wrong: says where, the key, and what was expected."""


class SchemaTooNewError(MarketflowError):
    """The database holds migrations that this release does not know."""


class StateTooNewError(MarketflowError):
    """The recovery store holds state in a form that this release does not know."""


class DecodeError(MarketflowError):
    """A record cannot be understood: says which field was wrong and what was expected."""


class FeedError(MarketflowError):
    """A feed broke its own rules; one book must be rebuilt from a fresh snapshot."""


class SequenceGapError(FeedError):
    """An update is missing between the last one applied and this one."""


class ChecksumMismatchError(FeedError):
    """The book's checksum is not the one that the exchange sent."""


class DeliveryError(MarketflowError):
    """Something could not be handed to the outside."""


class UnavailableError(DeliveryError):
    """The other side is down or overloaded: the same call may succeed later."""


class BusyError(UnavailableError):
    """The other side is well and has too much to do right now."""


class UndeliveredError(DeliveryError):
    """Records were not delivered in time: the epoch must be replayed."""
