"""Measures of students and teachers, with and without test data."""
