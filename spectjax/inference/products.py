"""What a product of a prediction is: something that is written of what a model says."""

from typing import Protocol

from spectjax.imaging.problems import Problems
from spectjax.tasks.views import ModelInfo, Reading


class Product(Protocol):
    """Something more that is written of what a model says, as drafts to correct."""

    def begin(self, task: str, info: ModelInfo) -> None:
        """Takes what a model answers and where it comes from, before it is asked.

        Raises:
            UserError: if nothing of this kind can be written of what it says.
        """

    def write(self, reading: Reading, problems: Problems) -> None:
        """Writes what is said of an examination that has at least one view.

        `problems` receives views of which nothing can be written.

        Raises:
            WriteError: if a file cannot be written.
        """

    def finish(self) -> None:
        """Writes what is said of all of them together.

        Raises:
            WriteError: if a file cannot be written.
        """
