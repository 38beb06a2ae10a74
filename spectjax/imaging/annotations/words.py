"""A hospital's words, in the form in which they are compared."""

NORMAL = "normal"


def clean_word(word: str) -> str:
    """Returns a word without capitals, and with single blanks inside only."""
    return " ".join(word.lower().split())
