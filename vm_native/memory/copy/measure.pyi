from typing_extensions import Buffer, CapsuleType

byte_loop: CapsuleType

def paired(
    first: tuple[CapsuleType, str],
    second: tuple[CapsuleType, str],
    target: Buffer,
    source: Buffer,
    calls: int,
    rounds: int,
) -> list[tuple[float, float]]: ...
