"""What the atlas of the skeleton is made of."""
