"""Keys and buttons of a browser, as Linux calls them.

Keys by `KeyboardEvent.code` (UI Events KeyboardEvent code Values, section 3), which is the place on the keyboard, not
what the host's layout writes there; buttons by `MouseEvent.button`.
"""

from vm.devices.virtio.keys import BUTTONS, KEYS

ALIKE = ("Minus Equal Backspace Tab Enter Semicolon Backslash Comma Slash Space CapsLock NumLock ScrollLock Home End "
         "PageUp PageDown Insert Delete Pause")
OTHERS = {
    "Escape": "ESC", "BracketLeft": "LEFTBRACE", "BracketRight": "RIGHTBRACE", "Quote": "APOSTROPHE",
    "Backquote": "GRAVE", "Period": "DOT", "IntlBackslash": "102ND", "PrintScreen": "SYSRQ", "ContextMenu": "COMPOSE",
    "ControlLeft": "LEFTCTRL", "ControlRight": "RIGHTCTRL", "ShiftLeft": "LEFTSHIFT", "ShiftRight": "RIGHTSHIFT",
    "AltLeft": "LEFTALT", "AltRight": "RIGHTALT", "MetaLeft": "LEFTMETA", "MetaRight": "RIGHTMETA",
    "ArrowUp": "UP", "ArrowDown": "DOWN", "ArrowLeft": "LEFT", "ArrowRight": "RIGHT",
    "NumpadMultiply": "KPASTERISK", "NumpadDivide": "KPSLASH", "NumpadAdd": "KPPLUS", "NumpadSubtract": "KPMINUS",
    "NumpadDecimal": "KPDOT", "NumpadEnter": "KPENTER",
    "AudioVolumeMute": "MUTE", "AudioVolumeDown": "VOLUMEDOWN", "AudioVolumeUp": "VOLUMEUP",
}  # fmt: skip
NAMES = {
    **{f"Key{letter}": letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"},
    **{f"Digit{digit}": digit for digit in "0123456789"},
    **{f"Numpad{digit}": f"KP{digit}" for digit in "0123456789"},
    **{f"F{number}": f"F{number}" for number in range(1, 13)},
    **{name: name.upper() for name in ALIKE.split()},
    **OTHERS,
}
KEY_CODES = {name: KEYS[f"KEY_{linux}"] for name, linux in NAMES.items()}
BUTTON_CODES = [BUTTONS[f"BTN_{name}"] for name in ("LEFT", "MIDDLE", "RIGHT", "SIDE", "EXTRA")]
