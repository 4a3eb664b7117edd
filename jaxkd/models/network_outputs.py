"""Logits from what a network returns: one of several outputs, probabilities, or
one number for two classes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass

import jax
import jax.numpy as jnp

from jaxkd.config.teacher_fields import output_index
from jaxkd.types import Array, JaxkdError, Outputs

MIN_PROBABILITY = 1e-12  # smaller ones are raised to it before the logarithm
LOGITS = "logits"  # an output of this name is taken before others


def to_logits(values: Array, kind: str) -> Array:
  """Converts outputs of a kind to logits `[B, K]`.

  Args:
    values: `[B, K]`; or one number for two classes, `[B]` or `[B, 1]`: the
      logit or the probability of class 1.
    kind: `logits` (or empty), `probabilities`, or `sigmoid`: of one number the
      probability of class 1, of K numbers each the sigmoid of a logit.

  >>> to_logits(jnp.array([0.5]), "sigmoid").tolist()
  [[0.0, 0.0]]
  """
  if values.ndim == 0:
    return values
  single = values.ndim == 1 or values.shape[-1] == 1
  if kind == "sigmoid" or (single and kind == "probabilities"):
    values = _log(values) - _log(1 - values)
  elif kind == "probabilities":
    values = _log(values)
  if not single:
    return values
  values = values.reshape(len(values), 1)
  return jnp.concatenate([jnp.zeros_like(values), values], -1)


def _log(probabilities: Array) -> Array:
  return jnp.log(jnp.clip(probabilities, MIN_PROBABILITY, 1))


@dataclass(frozen=True)
class OutputReader:
  """Takes the logits out of what a network returns.

  Attributes:
    name: of the output, as `logits`, `heads.0` or an index; empty takes the one
      that can be no other.
    kind: as in `to_logits`; empty if nobody said it, where it is `logits`.
  """

  name: str = ""
  kind: str = ""

  def __call__(self, returned: object) -> Outputs:
    """Returns the outputs of a network.

    Raises:
      JaxkdError: if there is no such output, or if several may be the one.
    """
    if isinstance(returned, Outputs) and not self.name:
      heads = tuple(to_logits(head, self.kind) for head in returned.heads)
      logits = to_logits(returned.logits, self.kind)
      return returned._replace(logits=logits, heads=heads)
    return Outputs(to_logits(self.choose(returned), self.kind))

  def choose(self, returned: object) -> Array:
    """Returns the output that was named, or the one that can be no other.

    Raises:
      JaxkdError: if there is no such output, or if several may be the one.
    """
    single = isinstance(returned, jax.Array) and self.name in ("", "0", "-1")
    name = "" if single else self.name
    arrays = dict(_arrays(returned))
    if name:
      top = [value for _, value in _children(returned)]
      if (index := output_index(name, len(top))) is not None:
        arrays.setdefault(name, top[index])
      chosen = arrays.get(name)
      if isinstance(chosen, jax.Array) and _are_numbers(chosen):
        return chosen
      raise JaxkdError(
        f"teacher.output={name!r}: the network returned "
        f"{_described(returned)}; name one of these, or its index."
      )
    numbers = {path: a for path, a in arrays.items() if _are_numbers(a)}
    named = [path for path in numbers if path.rpartition(".")[2] == LOGITS]
    on_top = [path for path in named if path == LOGITS]
    flat = [path for path, array in numbers.items() if array.ndim in (1, 2)]
    for paths in (numbers, on_top, named, flat):
      if len(paths) == 1:
        return numbers[next(iter(paths))]
    raise JaxkdError(
      f"The network returned {_described(returned)}; it must return logits "
      "[B, K] or jaxkd.Outputs, or one of several outputs must be chosen: "
      "teacher.output (output= of jaxkd.from_linen and so on) is its name or "
      "index."
    )


def _are_numbers(array: Array) -> bool:
  """Returns whether these are no labels, which are integers."""
  return jnp.issubdtype(array.dtype, jnp.floating)


def _children(returned: object) -> list[tuple[str, object]]:
  """Returns the parts of what a network returned, by name or index."""
  if isinstance(returned, jax.Array):
    return []
  if isinstance(returned, Mapping):
    return [(str(key), value) for key, value in returned.items()]
  if isinstance(returned, (tuple, list)):
    names = getattr(returned, "_fields", range(len(returned)))
    return list(zip(map(str, names), returned, strict=True))
  if is_dataclass(returned):
    return [(f.name, getattr(returned, f.name)) for f in fields(returned)]
  return []


def _arrays(returned: object, path: str = "") -> Iterator[tuple[str, Array]]:
  """Yields all arrays in what a network returned, by their dotted paths."""
  if isinstance(returned, jax.Array):
    yield path, returned
  for name, value in _children(returned):
    yield from _arrays(value, f"{path}.{name}".lstrip("."))


def _described(returned: object) -> str:
  arrays = list(_arrays(returned))
  if not arrays:
    return f"a {type(returned).__name__}"
  return ", ".join(
    f"{path} {list(array.shape)}".strip()
    + ("" if _are_numbers(array) else f" {array.dtype}")
    for path, array in arrays[:6]
  ) + (", ..." if len(arrays) > 6 else "")
