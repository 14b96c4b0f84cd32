"""Keys and buttons by their names in Linux's input-event-codes.h, and what a US keyboard writes with them.

Virtio's events are those of Linux's evdev (virtio 1.2, section 5.8.6).
"""

from __future__ import annotations

# The numbers follow the rows of a keyboard, as those of the first PC did.
_ROWS = {
    1: "ESC 1 2 3 4 5 6 7 8 9 0 MINUS EQUAL BACKSPACE TAB Q W E R T Y U I O P LEFTBRACE RIGHTBRACE ENTER LEFTCTRL",
    30: "A S D F G H J K L SEMICOLON APOSTROPHE GRAVE LEFTSHIFT BACKSLASH Z X C V B N M COMMA DOT SLASH RIGHTSHIFT",
    55: "KPASTERISK LEFTALT SPACE CAPSLOCK F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 NUMLOCK SCROLLLOCK KP7 KP8 KP9 KPMINUS KP4",
    76: "KP5 KP6 KPPLUS KP1 KP2 KP3 KP0 KPDOT",
    86: "102ND F11 F12",
    96: "KPENTER RIGHTCTRL KPSLASH SYSRQ RIGHTALT",
    102: "HOME UP PAGEUP LEFT RIGHT END DOWN PAGEDOWN INSERT DELETE",
    113: "MUTE VOLUMEDOWN VOLUMEUP POWER",
    119: "PAUSE",
    125: "LEFTMETA RIGHTMETA COMPOSE",
}
KEYS = {f"KEY_{name}": first + place for first, row in _ROWS.items() for place, name in enumerate(row.split())}
BUTTONS = {"BTN_LEFT": 0x110, "BTN_RIGHT": 0x111, "BTN_MIDDLE": 0x112, "BTN_SIDE": 0x113, "BTN_EXTRA": 0x114}

SHIFT = KEYS["KEY_LEFTSHIFT"]
# The two signs of a key that has two, without and with shift; letters have theirs by rule.
_SIGNS = {
    "1": "1!", "2": "2@", "3": "3#", "4": "4$", "5": "5%", "6": "6^", "7": "7&", "8": "8*", "9": "9(", "0": "0)",
    "MINUS": "-_", "EQUAL": "=+", "LEFTBRACE": "[{", "RIGHTBRACE": "]}", "SEMICOLON": ";:", "APOSTROPHE": "'\"",
    "GRAVE": "`~", "BACKSLASH": "\\|", "COMMA": ",<", "DOT": ".>", "SLASH": "/?",
    "SPACE": " ", "ENTER": "\n", "TAB": "\t", "BACKSPACE": "\b", "ESC": "\x1b",
    **{letter: letter.lower() + letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"},
}  # fmt: skip
# By character: the key, and whether shift is held
US_LAYOUT = {sign: (KEYS[f"KEY_{name}"], level == 1) for name, signs in _SIGNS.items()
             for level, sign in enumerate(signs)}
