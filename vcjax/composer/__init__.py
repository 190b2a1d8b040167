"""Pipeline for video synthesis: load a model, encode conditions, sample latents, decode them to frames."""
