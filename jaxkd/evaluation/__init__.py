"""Measurements of students and teachers, with and without test data.

accuracy.py             accuracy and agreement on labelled data, with intervals
artefact_operations.py  convolutions and products inside of artefacts
audit.py                rows and sentences of an audit of a black box
calibration.py          how far confidence is from accuracy
classes.py              accuracy and agreement of every class
data_free_metrics.py    metrics on held-out synthetic samples
image_checks.py         checks of the first images of a run
matrix_work.py          convolutions and products of any program
network_costs.py        parameters, bytes, FLOP and latency
predictions.py          log-probabilities for many images, on all devices
run_warnings.py         warnings about a finished run
sanity_checks.py        checks of a teacher before a run
teacher_scale.py        scale of a teacher's logits and gradients
"""
