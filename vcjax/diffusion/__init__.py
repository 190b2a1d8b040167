"""Diffusion as mathematics: schedules, objectives, guidance and DDIM as functions of arrays and a `denoise`."""
