"""Goldfish real-time clock: nanoseconds since 1970, one alarm.

Registers as in the Android goldfish documentation and QEMU's `virt` board; device-tree binding google,goldfish-rtc.

    0x00 TIME_LOW           reading it latches the high half; writing sets the low half of the time
    0x04 TIME_HIGH          the latched half; writing sets the high half of the time
    0x08 ALARM_LOW          writing it sets the alarm, with the high half written before
    0x0c ALARM_HIGH
    0x10 IRQ_ENABLED        bit 0
    0x14 CLEAR_ALARM        writing anything takes the alarm back
    0x18 ALARM_STATUS       1 while an alarm is set and not yet due
    0x1c CLEAR_INTERRUPT    writing anything acknowledges the interrupt

The line is high while an alarm that went off is not acknowledged and IRQ_ENABLED is set.
"""

from vm.devices.base import Device, reads, writes

ALARM = 0                           # event: the alarm is due
LOW = 0xFFFF_FFFF
HIGH = LOW << 32
FARTHEST = 1 << 62                  # ns: an alarm beyond is looked at again then, so that events stay within 64 bits


class GoldfishRTC(Device):
    """Sets and reads `Clock.epoch_ns`. The alarm is an instant of that clock, also after the guest sets the time."""

    compatible = "google,goldfish-rtc"
    node_name = "rtc"
    size = 0x1000
    level_triggered = False
    state = ("alarm", "alarm_armed", "irq_enabled", "irq_pending", "high_latch")

    def __init__(self) -> None:
        super().__init__()
        self.alarm_armed = False
        self.reset()

    def reset(self) -> None:
        """No alarm, no interrupt; the time runs on."""
        self.clear_alarm(0)
        self.alarm = 0              # ns since 1970
        self.irq_enabled = 0
        self.irq_pending = False
        self.high_latch = 0
        super().reset()

    def on_event(self, event: int, data: int) -> None:
        self.alarm_armed = False
        self._arm()

    def _arm(self) -> None:
        """Set the alarm, or let it go off if its time has come."""
        self.clear_alarm(0)
        delay = self.alarm - self.clock.epoch_ns()
        if delay > 0:
            self.alarm_armed = True
            self.events.schedule(min(delay, FARTHEST), self, ALARM)
        else:
            self.irq_pending = True
            self._drive()

    def _drive(self) -> None:
        self.irq.set(self.irq_pending and self.irq_enabled == 1)

    def _set_time(self, now: int) -> None:
        self.clock.set_epoch_ns(now)
        if self.alarm_armed:
            self._arm()

    @reads(0x00)
    def read_time_low(self) -> int:
        now = self.clock.epoch_ns()
        self.high_latch = now >> 32 & LOW
        return now & LOW

    @writes(0x00)
    def write_time_low(self, value: int) -> None:
        self._set_time(self.clock.epoch_ns() & HIGH | value)

    @reads(0x04)
    def read_time_high(self) -> int:
        return self.high_latch

    @writes(0x04)
    def write_time_high(self, value: int) -> None:
        self._set_time(self.clock.epoch_ns() & LOW | value << 32)

    @reads(0x08)
    def read_alarm_low(self) -> int:
        return self.alarm & LOW

    @writes(0x08)
    def write_alarm_low(self, value: int) -> None:
        self.alarm = self.alarm & HIGH | value
        self._arm()

    @reads(0x0C)
    def read_alarm_high(self) -> int:
        return self.alarm >> 32

    @writes(0x0C)
    def write_alarm_high(self, value: int) -> None:
        self.alarm = self.alarm & LOW | value << 32

    @reads(0x10)
    def read_irq_enabled(self) -> int:
        return self.irq_enabled

    @writes(0x10)
    def write_irq_enabled(self, value: int) -> None:
        self.irq_enabled = value & 1
        self._drive()

    @writes(0x14)
    def clear_alarm(self, value: int) -> None:
        if self.alarm_armed:
            self.events.cancel(self, ALARM)
            self.alarm_armed = False

    @reads(0x18)
    def read_alarm_status(self) -> int:
        return int(self.alarm_armed)

    @writes(0x1C)
    def clear_interrupt(self, value: int) -> None:
        self.irq_pending = False
        self._drive()
