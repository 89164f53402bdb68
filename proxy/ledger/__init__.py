"""The ledger: one row per response, what was decided and what it cost, in SQLite or PostgreSQL.

In: `Row`s from the proxies, by `Ledger.record`, which never blocks and never raises. Out: summaries and rows for
reports (`proxy.ledger.read`). Refuses: URLs, paths and queries; no column can hold one.
"""

from proxy.ledger.database import Place, keep, ledger_file, ledger_place
from proxy.ledger.read import LedgerUnreadable
from proxy.ledger.rollup import Keep
from proxy.ledger.row import Decision, Role, Row
from proxy.ledger.writer import Ledger

__all__ = [
    "Decision",
    "Keep",
    "Ledger",
    "LedgerUnreadable",
    "Place",
    "Role",
    "Row",
    "keep",
    "ledger_file",
    "ledger_place",
]
