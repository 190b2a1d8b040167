"""Evaluation of condition fidelity: metrics, evaluators that generate and score videos, and reports."""
