"""Keys of a browser, `KeyboardEvent.code` (UI Events KeyboardEvent code values, section 3), as Linux numbers them."""

# Rows of the table of include/uapi/linux/input-event-codes.h whose numbers follow each other, by the first.
ROWS = {
    1: "Escape Digit1 Digit2 Digit3 Digit4 Digit5 Digit6 Digit7 Digit8 Digit9 Digit0 Minus Equal Backspace Tab",
    16: "KeyQ KeyW KeyE KeyR KeyT KeyY KeyU KeyI KeyO KeyP BracketLeft BracketRight Enter ControlLeft",
    30: "KeyA KeyS KeyD KeyF KeyG KeyH KeyJ KeyK KeyL Semicolon Quote Backquote ShiftLeft Backslash",
    44: "KeyZ KeyX KeyC KeyV KeyB KeyN KeyM Comma Period Slash ShiftRight NumpadMultiply AltLeft Space CapsLock",
    59: "F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 NumLock ScrollLock",
    71: "Numpad7 Numpad8 Numpad9 NumpadSubtract Numpad4 Numpad5 Numpad6 NumpadAdd Numpad1 Numpad2 Numpad3 Numpad0",
    83: "NumpadDecimal",
    86: "IntlBackslash F11 F12 IntlRo",
    96: "NumpadEnter ControlRight NumpadDivide PrintScreen AltRight",
    102: "Home ArrowUp PageUp ArrowLeft ArrowRight End ArrowDown PageDown Insert Delete",
    117: "NumpadEqual",
    119: "Pause",
    121: "NumpadComma",
    124: "IntlYen MetaLeft MetaRight ContextMenu",
}
CODES = {name: first + place for first, names in ROWS.items() for place, name in enumerate(names.split())}

BUTTONS = {0: 0x110, 1: 0x112, 2: 0x111}        # MouseEvent.button: left, middle, right; BTN_LEFT, _MIDDLE, _RIGHT
