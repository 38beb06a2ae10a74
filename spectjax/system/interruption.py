"""Signals that ask a run to stop, turned into a question that the run asks itself."""

import signal
import sys
import threading
from types import FrameType, TracebackType


def tell_interruption(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Makes one line of a Ctrl-C that nobody has caught, as while modules load.

    A hook for `sys.excepthook`: whatever else ends a process is told as ever. Python
    ends it by SIGINT after that, of which shells make status 130.
    """
    if issubclass(kind, KeyboardInterrupt):
        print("Stopped.", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


class StopRequest:
    """Notes SIGTERM and SIGINT while a `with` block lasts.

    What goes on in the block ends it at a moment of its own. A second SIGINT ends it at
    once, as `KeyboardInterrupt`.

    Attributes:
        signal: number of the signal that came, 0 while none has.
    """

    def __init__(self) -> None:
        """Notes nothing yet."""
        self.signal = 0

    def __enter__(self) -> "StopRequest":
        """Takes over from what handled the signals before."""
        self._before = {}
        # Python lets only its main thread do so; elsewhere signals act as before.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                # Whoever started this process may have switched a signal off.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number
        name = signal.Signals(number).name
        print(f"\n{name}: stopping after a checkpoint ...", file=sys.stderr, flush=True)

    def __exit__(self, *_: object) -> None:
        """Gives the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
