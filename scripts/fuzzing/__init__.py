"""Damaged and hostile inputs by the thousand, and what the readers make of them."""
