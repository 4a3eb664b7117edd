"""Tables whose cells are whole runs: runner, records, pages and figures.

Runs whose results `configs/README.md` shows are recorded here as well, see
`jaxkd.tables.results`.
"""
