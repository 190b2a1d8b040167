"""Diffusion: noise schedules, training targets, guidance and samplers, as functions of arrays and a `denoise` callable."""
