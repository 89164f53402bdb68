"""The report: one HTML file that needs no network, made of tables, charts and pictures."""
