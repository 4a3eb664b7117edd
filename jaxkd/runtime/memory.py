"""How much memory a run takes."""

import resource
import sys

import jax


def peak_bytes() -> int:
  """The most that was in use at once since the process began: on the fullest of
  its devices; by the process, where devices do not say (the CPU).
  """
  peak = max(map(_peak_of, jax.local_devices()))
  if peak:
    return peak
  resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return resident * (1 if sys.platform == "darwin" else 1024)


def memory_scope() -> str:
  """Whose memory `peak_bytes` counts, `device` or `process`."""
  return "device" if any(map(_peak_of, jax.local_devices())) else "process"


def _peak_of(device: jax.Device) -> int:
  return (device.memory_stats() or {}).get("peak_bytes_in_use", 0)
