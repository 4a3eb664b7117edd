"""Tables of whole runs: their cells, numbers and figures."""
