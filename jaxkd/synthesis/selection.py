"""Selection: which candidate images the teacher is asked about.

Students that were trained on the answers so far predict the candidates'
classes. Each class has a quota, larger for those that the teacher gave seldom,
and within a class the candidates come first about which the students are least
certain: a small margin between the two likeliest classes (Scheffer et al.,
"Active Hidden Markov Models for Information Extraction", 2001), or a large
disagreement (Seung, Opper and Sompolinsky, "Query by Committee", 1992). No
image is asked about twice while there are new ones.
"""

import math

import jax
import jax.numpy as jnp

from jaxkd.data.labels import class_counts
from jaxkd.types import Array

CRITERIA = ("none", "random", "margin", "disagreement")
MIN_QUOTA = 0.02  # of the images asked in a round, for each class
CHUNK = 1024  # images that are compared, or draws that are made, at once
MARGIN_NOISE = 0.15  # largest random number that is added to a margin


def select(
  key: Array,
  log_probs: Array,
  new: Array,
  counts: Array,
  count: int,
  criterion: str,
) -> Array:
  """Returns the indices `[count]` of the selected candidates.

  If the quotas can't be filled, other new candidates are taken at random, and
  in the end those that are not new.

  Args:
    key: random key.
    log_probs: of each student, `[E, N, K]`.
    new: whether no equal image was asked before, `[N]`; see `is_new`.
    counts: images that the teacher gave each class so far, `[K]`.
    count: number of images to select, at most N.
    criterion: one of `CRITERIA`; `none` selects at random.
  """
  noise_key, fill_key = jax.random.split(key)
  probs = jnp.exp(log_probs).mean(0)
  num_candidates, num_classes = probs.shape
  classes = probs.argmax(-1)
  noise = jax.random.uniform(noise_key, (num_candidates,))
  if criterion == "margin":
    top = jax.lax.top_k(probs, 2)[0]
    scores = top[:, 0] - top[:, 1] + MARGIN_NOISE * noise
  elif criterion == "disagreement":
    scores = -disagreement(log_probs)
  else:
    scores = noise
  order = jnp.lexsort((scores, classes, ~new))
  available = class_counts(jnp.where(new, classes, -1), num_classes)
  starts = jnp.cumsum(available) - available
  ranks = jnp.arange(num_candidates) - starts[classes[order]]
  in_quota = ranks < quotas(counts, count)[classes[order]]
  fill = jax.random.uniform(fill_key, (num_candidates,))
  # At random also within the quotas, which may add up to a few too many.
  priority = jnp.where(in_quota, fill - 1.0, fill)
  priority = jnp.where(new[order], priority, 2.0)
  return order[jnp.argsort(priority)[:count]]


def disagreement(log_probs: Array) -> Array:
  """Computes the entropy of the mean minus the mean entropy, `[N]`.

  This is the Jensen-Shannon divergence of the students' answers, in nats.

  Args:
    log_probs: of each student, `[E, N, K]`.
  """
  mean = jnp.exp(log_probs).mean(0)
  mean_entropy = -(jnp.exp(log_probs) * log_probs).sum(-1).mean(0)
  return jax.scipy.special.entr(mean).sum(-1) - mean_entropy


def quotas(counts: Array, count: int) -> Array:
  """Computes how many candidates of each predicted class to take, `[K]`.

  They fill the rare classes up to what every class would have if all had
  equally many, are at least `MIN_QUOTA` of all, and add up to `count`.

  Args:
    counts: images with each label so far, `[K]`.
    count: number of images to select.
  """
  level = (counts.sum() + count) / counts.shape[0]
  wanted = jnp.maximum(level - counts, MIN_QUOTA * count)
  return wanted / wanted.sum() * count


def rare_classes(key: Array, labels: Array, counts: Array, count: int) -> Array:
  """Draws indices `[count]` of samples, all classes about equally often.

  Args:
    key: random key.
    labels: of the samples, `[N]`; -1 for those that are not to be drawn.
    counts: samples with each label, `[K]`.
    count: number of draws, with replacement.
  """
  # The bound keeps the few images of a class from being drawn all the time.
  weights = 1.0 / jnp.maximum(counts, 5)
  return draw(key, jnp.where(labels < 0, 0.0, weights[labels]), count)


def draw(key: Array, weights: Array, count: int) -> Array:
  """Draws indices `[count]` by their `weights [N]`, with replacement.

  Those of weight 0 are not drawn, if there are others. First one of about
  sqrt(N) rows is drawn and then one of its weights: in a sum over all of them
  small weights would be rounded away.
  """
  side = math.isqrt(len(weights) - 1) + 1
  rows = jnp.pad(weights, (0, side**2 - len(weights))).reshape(side, side)
  ends, ends_in_rows = jnp.cumsum(rows.sum(1)), jnp.cumsum(rows, axis=1)

  def place(ends: Array, draw: Array) -> Array:
    # Below the end, because a place after the last weight has the same end.
    below = jnp.minimum(draw * ends[-1], jnp.nextafter(ends[-1], 0.0))
    return jnp.searchsorted(ends, below, side="right")

  def one(draws: Array) -> Array:
    row = place(ends, draws[0]).clip(0, side - 1)
    index = row * side + place(ends_in_rows[row], draws[1])
    return index.clip(0, len(weights) - 1)

  draws = jax.random.uniform(key, (count, 2))
  return jax.lax.map(one, draws, batch_size=CHUNK)


def is_new(images: Array, earlier: Array, num_earlier: Array) -> Array:
  """Returns whether each image is the first of its kind, `[N]`.

  Args:
    images: uint8 `[N, ...]`.
    earlier: uint8 `[M, ...]`, images that were asked before.
    num_earlier: how many of these there are; the others are ignored.
  """
  held = jnp.arange(len(earlier)) < num_earlier
  ignored = jnp.concatenate([~held, jnp.zeros(len(images), bool)])
  prints = jnp.concatenate([fingerprints(earlier), fingerprints(images)])
  # Equal images become neighbours, in the order in which they came.
  order = jnp.lexsort(
    (jnp.arange(len(prints)), prints[:, 1], prints[:, 0], ignored)
  )
  ranked = prints[order]
  repeated = (ranked[1:] == ranked[:-1]).all(-1) & ~ignored[order][:-1]
  first = jnp.ones(len(prints), bool).at[order[1:]].set(~repeated)
  return first[len(earlier) :]


def fingerprints(images: Array) -> Array:
  """Computes two sums of the pixels with random factors, uint32 `[N, 2]`.

  Different images have the same fingerprint with a probability below 1e-14.
  """
  pixels = images.reshape(len(images), -1)
  factors = jax.random.bits(jax.random.key(0), (2, pixels.shape[1])) | 1

  def one(row: Array) -> Array:
    return (row.astype(jnp.uint32) * factors).sum(-1, dtype=jnp.uint32)

  return jax.lax.map(one, pixels, batch_size=CHUNK)
