"""Why the machine stopped: the codes in the status register."""

from __future__ import annotations

import enum


class Fault(enum.IntEnum):
    """Codes of faults. Brackets say what the error address holds; lower codes win in one cycle."""

    NONE = 0
    READ_RESPONSE = 1  # a read burst was answered with an error [its external address]
    WRITE_RESPONSE = 2  # a write burst was answered with an error [its external address]
    PORT_CONFLICT = 3  # two engines used one memory port in one cycle [bytes of program dispatched]
    TOKEN_OVERFLOW = 4  # more tokens wait between two engines than limits.MOST_TOKENS [bytes of program dispatched]
    BAD_OPCODE = 5  # no such command [the command's offset in the program]
    BAD_FIELD = 6  # a field or a bit between fields that no command may have, see Dispatch [the command's offset]
    CUT_SHORT = 7  # the program ends inside a command [the command's offset]
    WATCHDOG = 8  # no progress for the watchdog's time [bytes of program dispatched]
    STOPPED = 9  # software stopped the run by STOP [0]


FAULT_BITS = 4
