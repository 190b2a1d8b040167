"""Training: state, step, stages, loop, checkpoints. `loop.train` is the page to begin with."""
