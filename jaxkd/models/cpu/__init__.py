"""Forms of layers that XLA compiles well for CPUs."""
