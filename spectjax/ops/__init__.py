"""Pure JAX operations with static shapes that models share."""
