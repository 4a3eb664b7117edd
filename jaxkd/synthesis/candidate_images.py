"""Methods that draw candidate images, select some, and ask the teacher.

Nothing is optimised: an image comes from a source (`jaxkd.synthesis.procedural`
or other people's images) or is a mutation of one that was asked before. A round

1. draws candidates and mutations and selects some of them
   (`jaxkd.synthesis.selection`);
2. asks the teacher about these;
3. trains new students from scratch on all answers so far, which select in the
   next round (`jaxkd.synthesis.selecting_students`), in the same dispatch.

A white box may select by its own answers, and no students are trained (3).
After the rounds the student is trained on all answers.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxkd.config.fields import POSITIVE, Field
from jaxkd.config.synthesis_fields import BATCH_SIZE, PAID_ROUNDS
from jaxkd.evaluation.predictions import log_probs
from jaxkd.synthesis import mutations, procedural, real_images, selection
from jaxkd.synthesis.selecting_students import SelectingStudents
from jaxkd.synthesis.selection_fields import SELECTION, SelectionConfig
from jaxkd.training import sample_store as stores
from jaxkd.training.objectives import teacher_answers
from jaxkd.types import (
  Array,
  DataSpec,
  JaxkdError,
  Method,
  Networks,
  Phase,
  Samples,
)

# (networks, key, count) -> uint8 images [count, H, W, C]
Source = Callable[[Networks, Array, int], Array]

objective = teacher_answers
FIELDS = (PAID_ROUNDS, BATCH_SIZE, SELECTION, real_images.ANSWERS)
HYPER = (
  Field("temperature", float, 1.0, "Softens both networks' answers.", POSITIVE),
)


def candidate_method(
  spec: DataSpec,
  source: Source,
  *,
  rounds: int,
  batch_size: int,
  select: SelectionConfig,
  answers: str,
  hyper: dict[str, float],
  real_source: str = "",
) -> Method:
  """Builds a method that asks about images from a source.

  Args:
    spec: of the inputs.
    source: draws new candidates.
    rounds: of the method.
    batch_size: images that the teacher is asked about in a round.
    select: how they are selected.
    answers: whether a white box answers every view, see `FIELDS`.
    hyper: numbers of the objective, of the student and of those that select.
    real_source: `real_images` of `jaxkd.types.Method`.

  Raises:
    JaxkdError: for inputs that are no images.
  """
  if len(spec.shape) != 3:
    raise JaxkdError(
      f"{spec.name} has inputs of shape {spec.shape}, and this method makes "
      "images [H, W, C]; choose another method."
    )
  selects = select.criterion != "none"
  by_teacher = selects and select.critic == "teacher"
  by_students = selects and not by_teacher
  num_new = round(select.candidates * batch_size)
  num_mutations = round(select.mutations * batch_size) if selects else 0
  relabel_views = answers == "per_view"
  students = SelectingStudents(select, objective, hyper, spec.num_classes)

  def init(key: Array, nets: Networks):
    return students.init(nets, key) if by_students else ()

  def predict(state, nets: Networks, images: Array) -> Array:
    if by_teacher:
      return log_probs(nets.teacher, images)[None]
    if by_students:
      answers = students.predict(nets, state, images)
      return jnp.where(nets.store.inserted > 0, answers, 0.0)
    return jnp.zeros((1, len(images), spec.num_classes))

  def ask(state, nets: Networks, key: Array):
    draw_key, mutate_key, select_key = jax.random.split(key, 3)
    candidates, store = source(nets, draw_key, num_new), nets.store
    if store is None:  # while the store's shapes are worked out
      return state, stores.unlabelled(candidates[:batch_size]), {}
    valid = jnp.ones(num_new, bool)
    if num_mutations:
      children = _mutated(nets, mutate_key, num_mutations, spec)
      candidates = jnp.concatenate([candidates, children])
      # Before the first answers there is nothing to mutate.
      any_stored = jnp.broadcast_to(store.inserted > 0, (num_mutations,))
      valid = jnp.concatenate([valid, any_stored])
    new = valid & selection.is_new(
      candidates, store.samples.images, store.inserted
    )
    rows = selection.select(
      select_key,
      predict(state, nets, candidates),
      new,
      stores.label_counts(store, spec.num_classes),
      batch_size,
      select.criterion,
    )
    return state, stores.unlabelled(candidates[rows]), {}

  def restart(state, nets: Networks, answered: Samples, key: Array):
    if by_students:
      state = students.init(nets, key)
    return state, answered, {}

  return Method(
    init=init,
    phases=(Phase(ask, restart), *((students.phase(),) if by_students else ())),
    rounds=rounds,
    capacity=rounds * batch_size,
    objective=objective,
    hyper=hyper,
    relabel_views=relabel_views,
    required_access="white_box" if relabel_views or by_teacher else "label",
    real_images=real_source,
    round_student=students.variables if by_students else None,
  )


def _mutated(nets: Networks, key: Array, count: int, spec: DataSpec) -> Array:
  """Returns mutations of stored images, those of rare classes most often."""
  parent_key, partner_key, pattern_key, mutate_key = jax.random.split(key, 4)
  store = nets.store
  labels = stores.stored_labels(store)
  counts = stores.label_counts(store, spec.num_classes)
  parents = selection.rare_classes(parent_key, labels, counts, count)
  partners = jax.random.randint(
    partner_key, (count,), 0, jnp.maximum(store.inserted, 1)
  )
  images = store.samples.images
  return mutations.mutate(
    mutate_key,
    images[parents],
    images[partners],
    procedural.draw("smooth", pattern_key, count, spec.shape),
  )
