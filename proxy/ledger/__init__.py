"""The ledger: one row per image, what was decided and what it cost, in an SQLite file.

In: `Row`s from the proxies, by `Ledger.record`, which never blocks and never raises. Out: summaries and rows for
reports (`proxy.ledger.read`). Refuses: URLs, hosts and paths; no column can hold one.
"""

from proxy.ledger.read import LedgerUnreadable
from proxy.ledger.row import Decision, Role, Row
from proxy.ledger.writer import Ledger, ledger_file

__all__ = ["Decision", "Ledger", "LedgerUnreadable", "Role", "Row", "ledger_file"]
