"""The collector: sessions with the exchanges, their limits, watchdogs and records.

::

    Source (engine's thread) ── takes frames and status records of ── Feed, one exchange and product
                                                                       │ (in the loop's thread)
                              Lists ─ instruments                      ├─ Session, one connection
                              Filler, Poller ─ REST, threads of their own

"""
