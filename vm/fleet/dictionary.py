"""Dictionaries in AFL's format: a line for each word, as NAME="WORD"; the name, and @LEVEL behind it, may be missing.

Inside the quotes \\\\ and \\" stand for themselves, and \\xHH for a byte. What begins with # is a comment.
"""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path

from vm.errors import ConfigurationError

LINE = re.compile(rb'(?:[\w.-]+(?:@\d+)?\s*=?\s*)?"((?:[^"\\]|\\.)*)"')
ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
LONGEST_WORD = 128


def load_dictionary(path: str | PathLike[str]) -> list[bytes]:
    """The words of a file, in its order. Raises ConfigurationError, which names the line, and OSError."""
    words = []
    for number, line in enumerate(Path(path).read_bytes().splitlines(), 1):
        line = line.strip()
        if not line or line.startswith(b"#"):
            continue
        match = LINE.fullmatch(line)
        if match is None:
            raise ConfigurationError(f"{path}: line {number} is no word of a dictionary; write NAME=\"WORD\", with "
                                     "\\xHH for bytes")
        try:
            word = ESCAPE.sub(unescaped, match[1])
        except ValueError as error:
            raise ConfigurationError(f"{path}: line {number}: {error}") from None
        if not 0 < len(word) <= LONGEST_WORD:
            raise ConfigurationError(f"{path}: line {number}: a word has 1 to {LONGEST_WORD} bytes, not {len(word)}")
        words.append(word)
    return words


def unescaped(match: re.Match[bytes]) -> bytes:
    escape = match[1]
    if len(escape) == 3:
        return bytes.fromhex(escape[1:].decode())
    if escape not in (b"\\", b'"'):
        raise ValueError(f"\\{escape.decode(errors='replace')}: there is \\\\, \\\" and \\xHH")
    return escape
