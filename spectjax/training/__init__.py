"""From batches to a trained model: the home of optax, orbax, grain, mesh and pmap."""
