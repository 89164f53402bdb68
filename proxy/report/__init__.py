"""The savings report: what a ledger says, as figures, charts and one self-contained HTML file."""
