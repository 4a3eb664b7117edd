"""Tables whose cells are whole runs: runner, records, pages and figures."""
