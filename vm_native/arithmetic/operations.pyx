"""Floating point in any rounding mode and format: what has no uop, or none for its mode. It touches no host state.

The table at the end says of each instruction what computes it and what its operands and its result are; `operate`
unboxes and boxes accordingly. Unprivileged manual, chapters "F", "D", "Zfh" and "Zfa".
"""
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from vm_native.arithmetic cimport softfloat
from vm_native.arithmetic.float_rules cimport BOX16, BOX32, NX
from vm_native.arithmetic.integer cimport low32, sext32
from vm_native.arithmetic.softfloat cimport Format, binary16, binary32, binary64, is_nan, sign_bit


cdef struct View:           # of a register
    Format format
    uint64_t box            # what stands above the number

ctypedef uint64_t (*Compute)(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                             uint32_t* flags) noexcept nogil

cdef struct Operation:
    Compute compute         # from bit patterns to a bit pattern
    View operands
    View result

cdef enum:
    MAX_OPERATIONS = 128

cdef Operation[MAX_OPERATIONS] operations

OPERATIONS: dict[str, int] = {}
"""Mnemonic to the number that operate() takes."""


cdef uint64_t operate(int operation, int rounding, uint64_t a, uint64_t b, uint64_t c, uint32_t* flags) noexcept nogil:
    cdef const Operation* of = &operations[operation]
    return of.result.box | of.compute(of, unboxed(&of.operands, a), unboxed(&of.operands, b), unboxed(&of.operands, c),
                                      rounding, flags)


cdef inline uint64_t unboxed(const View* view, uint64_t image) noexcept nogil:
    return image & ~view.box if image & view.box == view.box else view.format.default_nan


# --- What computes, in the order of the table

cdef uint64_t add(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                  uint32_t* flags) noexcept nogil:
    return softfloat.add(of.operands.format, a, b, rounding, flags)


cdef uint64_t subtract(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                       uint32_t* flags) noexcept nogil:
    cdef Format f = of.operands.format
    return softfloat.add(f, a, b ^ sign_bit(f), rounding, flags)


cdef uint64_t multiply(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                       uint32_t* flags) noexcept nogil:
    return softfloat.multiply(of.operands.format, a, b, rounding, flags)


cdef uint64_t divide(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                     uint32_t* flags) noexcept nogil:
    return softfloat.divide(of.operands.format, a, b, rounding, flags)


cdef uint64_t square_root(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                          uint32_t* flags) noexcept nogil:
    return softfloat.square_root(of.operands.format, a, rounding, flags)


cdef uint64_t multiply_add(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                           uint32_t* flags) noexcept nogil:
    return softfloat.multiply_add(of.operands.format, a, b, c, rounding, flags)


cdef uint64_t multiply_subtract(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                                uint32_t* flags) noexcept nogil:
    cdef Format f = of.operands.format
    return softfloat.multiply_add(f, a, b, c ^ sign_bit(f), rounding, flags)


cdef uint64_t negated_multiply_add(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                                   uint32_t* flags) noexcept nogil:
    cdef Format f = of.operands.format
    return softfloat.multiply_add(f, a ^ sign_bit(f), b, c, rounding, flags)


cdef uint64_t negated_multiply_subtract(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                                        uint32_t* flags) noexcept nogil:
    cdef Format f = of.operands.format
    return softfloat.multiply_add(f, a ^ sign_bit(f), b, c ^ sign_bit(f), rounding, flags)


cdef uint64_t minimum_number(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                             uint32_t* flags) noexcept nogil:
    return softfloat.minimum_number(of.operands.format, a, b, flags)


cdef uint64_t maximum_number(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                             uint32_t* flags) noexcept nogil:
    return softfloat.maximum_number(of.operands.format, a, b, flags)


cdef uint64_t minimum(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                      uint32_t* flags) noexcept nogil:
    """A NaN if either is (9.6)."""
    cdef Format f = of.operands.format
    cdef uint64_t number = softfloat.minimum_number(f, a, b, flags)
    return f.default_nan if is_nan(f, a) or is_nan(f, b) else number


cdef uint64_t maximum(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                      uint32_t* flags) noexcept nogil:
    cdef Format f = of.operands.format
    cdef uint64_t number = softfloat.maximum_number(f, a, b, flags)
    return f.default_nan if is_nan(f, a) or is_nan(f, b) else number


cdef uint64_t round_to_integral(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                                uint32_t* flags) noexcept nogil:
    cdef bint exact
    return softfloat.to_integral(of.operands.format, a, rounding, &exact, flags)


cdef uint64_t round_to_integral_exact(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                                      uint32_t* flags) noexcept nogil:
    """Exact in the sense of IEEE 754 (5.9): it signals inexact."""
    cdef bint exact
    cdef uint64_t result = softfloat.to_integral(of.operands.format, a, rounding, &exact, flags)
    if not exact:
        flags[0] |= NX
    return result


cdef uint64_t copy_sign(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                        uint32_t* flags) noexcept nogil:
    cdef uint64_t sign = sign_bit(of.operands.format)
    return a & ~sign | b & sign


cdef uint64_t copy_negated_sign(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                                uint32_t* flags) noexcept nogil:
    cdef uint64_t sign = sign_bit(of.operands.format)
    return a & ~sign | ~b & sign


cdef uint64_t multiply_sign(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                            uint32_t* flags) noexcept nogil:
    cdef uint64_t sign = sign_bit(of.operands.format)
    return a ^ b & sign


cdef uint64_t equal(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                    uint32_t* flags) noexcept nogil:
    return softfloat.equal(of.operands.format, a, b, True, flags)


cdef uint64_t less(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                   uint32_t* flags) noexcept nogil:
    return softfloat.less(of.operands.format, a, b, False, flags)


cdef uint64_t less_or_equal(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                            uint32_t* flags) noexcept nogil:
    cdef Format f = of.operands.format
    return softfloat.less(f, a, b, False, flags) or softfloat.equal(f, a, b, False, flags)


cdef uint64_t quiet_less(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                         uint32_t* flags) noexcept nogil:
    return softfloat.less(of.operands.format, a, b, True, flags)


cdef uint64_t quiet_less_or_equal(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                                  uint32_t* flags) noexcept nogil:
    cdef Format f = of.operands.format
    return softfloat.less(f, a, b, True, flags) or softfloat.equal(f, a, b, True, flags)


cdef uint64_t class_mask(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                         uint32_t* flags) noexcept nogil:
    return 1ULL << softfloat.class_of(of.operands.format, a)


cdef uint64_t to_int32(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                       uint32_t* flags) noexcept nogil:
    return sext32(softfloat.to_integer(of.operands.format, a, True, 32, rounding, flags))


cdef uint64_t to_uint32(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                        uint32_t* flags) noexcept nogil:
    return sext32(softfloat.to_integer(of.operands.format, a, False, 32, rounding, flags))


cdef uint64_t to_int64(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                       uint32_t* flags) noexcept nogil:
    return softfloat.to_integer(of.operands.format, a, True, 64, rounding, flags)


cdef uint64_t to_uint64(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                        uint32_t* flags) noexcept nogil:
    return softfloat.to_integer(of.operands.format, a, False, 64, rounding, flags)


cdef uint64_t to_int32_modulo(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                              uint32_t* flags) noexcept nogil:
    return sext32(softfloat.to_integer_modulo(of.operands.format, a, flags))


cdef uint64_t from_int32(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                         uint32_t* flags) noexcept nogil:
    return from_int64(of, <uint64_t><int64_t><int32_t>a, b, c, rounding, flags)


cdef uint64_t from_uint32(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                          uint32_t* flags) noexcept nogil:
    return softfloat.from_integer(of.result.format, False, low32(a), rounding, flags)


cdef uint64_t from_int64(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                         uint32_t* flags) noexcept nogil:
    cdef bint negative = <int64_t>a < 0
    return softfloat.from_integer(of.result.format, negative, 0 - a if negative else a, rounding, flags)


cdef uint64_t from_uint64(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                          uint32_t* flags) noexcept nogil:
    return softfloat.from_integer(of.result.format, False, a, rounding, flags)


cdef uint64_t convert(const Operation* of, uint64_t a, uint64_t b, uint64_t c, int rounding,
                      uint32_t* flags) noexcept nogil:
    return softfloat.convert(of.operands.format, of.result.format, a, rounding, flags)


# --- The table

cdef View view(Format format, uint64_t box):
    cdef View made
    made.format, made.box = format, box
    return made


cdef View HALF = view(binary16(), BOX16)
cdef View SINGLE = view(binary32(), BOX32)
cdef View DOUBLE = view(binary64(), 0)
cdef View INTEGER = DOUBLE          # all 64 bits of the register


cdef void enter(str name, Compute compute, View operands, View result) except *:
    cdef int number = len(OPERATIONS)
    if number == MAX_OPERATIONS:
        raise OverflowError("more floating-point operations than their table has room for")
    operations[number].compute = compute
    operations[number].operands = operands
    operations[number].result = result
    OPERATIONS[name] = number


cdef void enter_format(str s, View number) except *:
    enter(f"fadd.{s}", add, number, number)
    enter(f"fsub.{s}", subtract, number, number)
    enter(f"fmul.{s}", multiply, number, number)
    enter(f"fdiv.{s}", divide, number, number)
    enter(f"fsqrt.{s}", square_root, number, number)
    enter(f"fmadd.{s}", multiply_add, number, number)
    enter(f"fmsub.{s}", multiply_subtract, number, number)
    enter(f"fnmsub.{s}", negated_multiply_add, number, number)
    enter(f"fnmadd.{s}", negated_multiply_subtract, number, number)
    enter(f"fmin.{s}", minimum_number, number, number)
    enter(f"fmax.{s}", maximum_number, number, number)
    enter(f"fminm.{s}", minimum, number, number)
    enter(f"fmaxm.{s}", maximum, number, number)
    enter(f"fround.{s}", round_to_integral, number, number)
    enter(f"froundnx.{s}", round_to_integral_exact, number, number)
    enter(f"fsgnj.{s}", copy_sign, number, number)
    enter(f"fsgnjn.{s}", copy_negated_sign, number, number)
    enter(f"fsgnjx.{s}", multiply_sign, number, number)
    enter(f"feq.{s}", equal, number, INTEGER)
    enter(f"flt.{s}", less, number, INTEGER)
    enter(f"fle.{s}", less_or_equal, number, INTEGER)
    enter(f"fltq.{s}", quiet_less, number, INTEGER)
    enter(f"fleq.{s}", quiet_less_or_equal, number, INTEGER)
    enter(f"fclass.{s}", class_mask, number, INTEGER)
    enter(f"fcvt.w.{s}", to_int32, number, INTEGER)
    enter(f"fcvt.wu.{s}", to_uint32, number, INTEGER)
    enter(f"fcvt.l.{s}", to_int64, number, INTEGER)
    enter(f"fcvt.lu.{s}", to_uint64, number, INTEGER)
    enter(f"fcvt.{s}.w", from_int32, INTEGER, number)
    enter(f"fcvt.{s}.wu", from_uint32, INTEGER, number)
    enter(f"fcvt.{s}.l", from_int64, INTEGER, number)
    enter(f"fcvt.{s}.lu", from_uint64, INTEGER, number)


enter_format("s", SINGLE)
enter_format("d", DOUBLE)
enter_format("h", HALF)
enter("fcvt.s.d", convert, DOUBLE, SINGLE)
enter("fcvt.h.d", convert, DOUBLE, HALF)
enter("fcvt.d.s", convert, SINGLE, DOUBLE)
enter("fcvt.h.s", convert, SINGLE, HALF)
enter("fcvt.s.h", convert, HALF, SINGLE)
enter("fcvt.d.h", convert, HALF, DOUBLE)
enter("fcvtmod.w.d", to_int32_modulo, DOUBLE, INTEGER)
