"""A run, from its config to the report.

To understand a run of CAKE from the command line to the student, read:

  1. `configs/cake.py`                  networks, sizes, steps and rates
  2. `jaxkd/main.py`                    flags; calls `distill`
  3. `jaxkd/types/`                     what a classifier, samples, a method are
  4. `jaxkd/pipeline/distill.py`        the five steps of a run, in order
  5. `jaxkd/pipeline/setup.py`          what is known before it starts: `Setup`
  6. `jaxkd/pipeline/rounds.py`         the loop over rounds; `run_round`
  7. `jaxkd/pipeline/exchange.py`       one round: ask, answer, store, train
  8. `jaxkd/methods/cake.py`            the loss of CAKE's images
  9. `jaxkd/synthesis/pixels.py`        T updates of the images in one scan
  10. `jaxkd/pipeline/students.py`      the students' epochs, seeds and grid
  11. `jaxkd/training/fit.py`           the loop over epochs, with checkpoints
  12. `jaxkd/training/epoch.py`         one epoch as one dispatch

A run executes more, which need not be read to understand it: the checks of
`config` (`pipeline.resolution`, `pipeline.method`, `pipeline.hosts`); loading
of data (`data`); the networks and their forms for the CPU (`models`); loss
kernels (`losses`) and objectives; one update of a network (`training.step`);
how the teacher is trained (`pipeline.teacher`, `training.trained_network`) and
reached (`teachers`, `pipeline.host_exchange`), and the scale of its logits
(`pipeline.logit_scale`); what rounds cost and how they are compiled
(`pipeline.costs`, `pipeline.programs`); the students' weights before their
epochs (`pipeline.initial_weights`); the choice on a grid (`pipeline.grid`);
evaluation (`pipeline.scores`, `pipeline.results`, `evaluation`); the report
(`report`); devices, checkpoints, metrics and the run folder (`runtime`);
and the weights on disk (`serialization`).

`--plan` describes a run and starts none (`pipeline.plan`, `pipeline.run_time`).
"""
