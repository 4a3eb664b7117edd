"""Teachers that a run asks, and the ledger that counts their queries."""
