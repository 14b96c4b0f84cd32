from enum import IntEnum

class Operation(IntEnum):
    """What fp_operate() takes: FADD_S, FADD_D, ... (the mnemonic in capitals)."""

OPERATIONS: dict[str, int]
HAS_FMA: bool

def operate(name: str, rounding_mode: int, a: int, b: int = 0, c: int = 0) -> tuple[int, int]: ...
def operate_fast(name: str, a: int, b: int = 0, c: int = 0, towards_zero: bool = False) -> tuple[int, int]: ...
