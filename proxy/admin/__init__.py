"""The admin service of a proxy: metrics, health, and what operators look at, on a port of its own."""
