"""V, its subsets Zve*, and Zvfh: vector specification 1.0; Zvbb, Zvkb and Zvbc: vector cryptography 1.0.

Rows are in the order of the specification's chapters. They say what vector_shapes.py explains.
"""

from collections.abc import Iterable

from vm_native.riscv.instructions.row import I

OPIVV, OPFVV, OPMVV, OPIVI, OPIVX, OPFVF, OPMVX, OPCFG = (f"{number:03b}" for number in range(8))
INTEGER, FLOAT = "Zve32x", "Zve32f"
WIDTHS = {8: "000", 16: "101", 32: "110", 64: "111"}

# What stands where vs1 does, and funct3, by the last letter of a form: of the integer instructions, and of the others
SOURCES = {"v": "vs1", "x": "rs1", "i": "imm[4:0]", "u": "uimm[4:0]", "f": "frs1", "s": "vs1"}
FUNCT3 = {"v": OPIVV, "x": OPIVX, "i": OPIVI, "u": OPIVI}
FUNCT3_M = {"v": OPMVV, "x": OPMVX, "s": OPMVV}
FUNCT3_F = {"v": OPFVV, "f": OPFVF, "s": OPFVV}


def forms(name: str, funct6: str, operands: str, shape: str, operation: str, *, funct3: dict[str, str],
          extension: str = INTEGER, mask: str = "vm") -> None:
    """A row for each of the forms: "vv vx vi", where "vu" is a vi whose immediate is unsigned; so with w for the first
    v, and with m behind for those that take the mask as an operand.
    """
    for form in operands.split():
        kind = form[1]
        suffix = form.replace("u", "i")
        I(f"{name}.{suffix}", f"{funct6} {mask} vs2 {SOURCES[kind]} {funct3[kind]} vd 1010111", extension,
          vector=f"{shape} {operation}")


def integers(name: str, funct6: str, operands: str, operation: str, shape: str = "plain", **more: str) -> None:
    forms(name, funct6, operands, shape, operation, funct3=FUNCT3, **more)


def multiplies(name: str, funct6: str, operands: str, operation: str, shape: str = "plain", **more: str) -> None:
    forms(name, funct6, operands, shape, operation, funct3=FUNCT3_M, **more)


def floats(name: str, funct6: str, operands: str, operation: str, shape: str = "plain", **more: str) -> None:
    forms(name, funct6, operands, shape, operation, funct3=FUNCT3_F, extension=FLOAT, **more)


def unary(name: str, funct6: str, code: str, funct3: str, extension: str, vector: str) -> None:
    """Instructions that a number in the place of vs1 tells apart."""
    I(name, f"{funct6} vm vs2 {code} {funct3} vd 1010111", extension, vector=vector)


# --- Configuration: chapter 6 ----------------------------------------------------------------------------------------

I("vsetvli",  "0 uimm[10:0] rs1 111 rd 1010111", INTEGER, vector="set")
I("vsetivli", "11 uimm[9:0] zimm 111 rd 1010111", INTEGER, vector="set")
I("vsetvl",   "1000000 rs2 rs1 111 rd 1010111", INTEGER, vector="set")

# --- Loads and stores: chapter 7 -------------------------------------------------------------------------------------


def memory(name: str, fields: int, mop: str, middle: str, width: str, shape: str, size: int, *, loads: bool,
           mask: str = "vm") -> None:
    register, opcode = ("vd", "0000111") if loads else ("vs3", "0100111")
    direction = "load" if loads else "store"
    I(name, f"{fields - 1:03b} 0 {mop} {mask} {middle} rs1 {width} {register} {opcode}", INTEGER,
      vector=f"{direction}.{shape} e{size}")


def segments(fields: Iterable[int], *, loads: bool) -> None:
    letter = "l" if loads else "s"
    for number in fields:
        seg = f"seg{number}" if number > 1 else ""
        for size, width in WIDTHS.items():
            memory(f"v{letter}{seg}e{size}.v", number, "00", "00000", width, "unit", size, loads=loads)
            if loads:
                memory(f"v{letter}{seg}e{size}ff.v", number, "00", "10000", width, "first", size, loads=loads)
            memory(f"v{letter}s{seg}e{size}.v", number, "10", "rs2", width, "strided", size, loads=loads)
            memory(f"v{letter}ux{seg}ei{size}.v", number, "01", "vs2", width, "indexed", size, loads=loads)
            memory(f"v{letter}ox{seg}ei{size}.v", number, "11", "vs2", width, "indexed", size, loads=loads)


segments(range(1, 9), loads=True)
segments(range(1, 9), loads=False)
memory("vlm.v", 1, "00", "01011", WIDTHS[8], "mask", 8, loads=True, mask="1")
memory("vsm.v", 1, "00", "01011", WIDTHS[8], "mask", 8, loads=False, mask="1")
for _registers in (1, 2, 4, 8):
    for _size, _width in WIDTHS.items():
        memory(f"vl{_registers}re{_size}.v", _registers, "00", "01000", _width, "whole", _size, loads=True, mask="1")
    memory(f"vs{_registers}r.v", _registers, "00", "01000", WIDTHS[8], "whole", 8, loads=False, mask="1")

# --- Integers: chapter 11 --------------------------------------------------------------------------------------------

integers("vadd",  "000000", "vv vx vi", "add")
integers("vsub",  "000010", "vv vx", "sub")
integers("vrsub", "000011", "vx vi", "rsub")
for _code, _operation, _kind in (("110000", "add", "u"), ("110001", "add", ""), ("110010", "sub", "u"),
                                 ("110011", "sub", "")):
    _widened = _operation if _kind else f"{_operation}s"
    multiplies(f"vw{_operation}{_kind}", _code, "vv vx", _widened, "wide")
    multiplies(f"vw{_operation}{_kind}", f"{int(_code, 2) + 4:06b}", "wv wx", _widened, "wide.w")
for _number, _factor in enumerate((8, 4, 2), 1):
    unary(f"vzext.vf{_factor}", "010010", f"{2 * _number:05b}", OPMVV, INTEGER, f"extend{_factor} zext")
    unary(f"vsext.vf{_factor}", "010010", f"{2 * _number + 1:05b}", OPMVV, INTEGER, f"extend{_factor} sext")
integers("vadc",  "010000", "vvm vxm vim", "adc", "merge", mask="0")
integers("vmadc", "010001", "vvm vxm vim", "madc", "carry", mask="0")
integers("vmadc", "010001", "vv vx vi", "madc", "carry", mask="1")
integers("vsbc",  "010010", "vvm vxm", "sbc", "merge", mask="0")
integers("vmsbc", "010011", "vvm vxm", "msbc", "carry", mask="0")
integers("vmsbc", "010011", "vv vx", "msbc", "carry", mask="1")
integers("vand",  "001001", "vv vx vi", "and")
integers("vor",   "001010", "vv vx vi", "or")
integers("vxor",  "001011", "vv vx vi", "xor")
integers("vsll",  "100101", "vv vx vu", "sll")
integers("vsrl",  "101000", "vv vx vu", "srl")
integers("vsra",  "101001", "vv vx vu", "sra")
integers("vnsrl", "101100", "wv wx wu", "nsrl", "narrow")
integers("vnsra", "101101", "wv wx wu", "nsra", "narrow")
integers("vmseq",  "011000", "vv vx vi", "seq", "compare")
integers("vmsne",  "011001", "vv vx vi", "sne", "compare")
integers("vmsltu", "011010", "vv vx", "sltu", "compare")
integers("vmslt",  "011011", "vv vx", "slt", "compare")
integers("vmsleu", "011100", "vv vx vi", "sleu", "compare")
integers("vmsle",  "011101", "vv vx vi", "sle", "compare")
integers("vmsgtu", "011110", "vx vi", "sgtu", "compare")
integers("vmsgt",  "011111", "vx vi", "sgt", "compare")
integers("vminu", "000100", "vv vx", "minu")
integers("vmin",  "000101", "vv vx", "min")
integers("vmaxu", "000110", "vv vx", "maxu")
integers("vmax",  "000111", "vv vx", "max")
multiplies("vdivu",   "100000", "vv vx", "divu")
multiplies("vdiv",    "100001", "vv vx", "div")
multiplies("vremu",   "100010", "vv vx", "remu")
multiplies("vrem",    "100011", "vv vx", "rem")
multiplies("vmulhu",  "100100", "vv vx", "mulhu")
multiplies("vmul",    "100101", "vv vx", "mul")
multiplies("vmulhsu", "100110", "vv vx", "mulhsu")
multiplies("vmulh",   "100111", "vv vx", "mulh")
multiplies("vwmulu",  "111000", "vv vx", "mul", "wide")
multiplies("vwmulsu", "111010", "vv vx", "mulsu", "wide")
multiplies("vwmul",   "111011", "vv vx", "muls", "wide")
multiplies("vmadd",   "101001", "vv vx", "madd")
multiplies("vnmsub",  "101011", "vv vx", "nmsub")
multiplies("vmacc",   "101101", "vv vx", "macc")
multiplies("vnmsac",  "101111", "vv vx", "nmsac")
multiplies("vwmaccu",  "111100", "vv vx", "macc", "wide")
multiplies("vwmacc",   "111101", "vv vx", "maccs", "wide")
multiplies("vwmaccus", "111110", "vx", "maccus", "wide")
multiplies("vwmaccsu", "111111", "vv vx", "maccsu", "wide")
integers("vmerge", "010111", "vvm vxm vim", "merge", "merge", mask="0")
I("vmv.v.v", "010111 1 00000 vs1 000 vd 1010111", INTEGER, vector="plain second")
I("vmv.v.x", "010111 1 00000 rs1 100 vd 1010111", INTEGER, vector="plain second")
I("vmv.v.i", "010111 1 00000 imm[4:0] 011 vd 1010111", INTEGER, vector="plain second")

# --- Fixed point: chapter 12 -----------------------------------------------------------------------------------------

integers("vsaddu", "100000", "vv vx vi", "saddu")
integers("vsadd",  "100001", "vv vx vi", "sadd")
integers("vssubu", "100010", "vv vx", "ssubu")
integers("vssub",  "100011", "vv vx", "ssub")
multiplies("vaaddu", "001000", "vv vx", "aaddu")
multiplies("vaadd",  "001001", "vv vx", "aadd")
multiplies("vasubu", "001010", "vv vx", "asubu")
multiplies("vasub",  "001011", "vv vx", "asub")
integers("vsmul",   "100111", "vv vx", "smul")
integers("vssrl",   "101010", "vv vx vu", "ssrl")
integers("vssra",   "101011", "vv vx vu", "ssra")
integers("vnclipu", "101110", "wv wx wu", "nclipu", "narrow")
integers("vnclip",  "101111", "wv wx wu", "nclip", "narrow")

# --- Floating point: chapter 13 --------------------------------------------------------------------------------------

floats("vfadd",  "000000", "vv vf", "fadd")
floats("vfsub",  "000010", "vv vf", "fsub")
floats("vfrsub", "100111", "vf", "frsub")
floats("vfwadd", "110000", "vv vf", "fwadd", "wide")
floats("vfwsub", "110010", "vv vf", "fwsub", "wide")
floats("vfwadd", "110100", "wv wf", "fwadd.w", "wide.w")
floats("vfwsub", "110110", "wv wf", "fwsub.w", "wide.w")
floats("vfmul",  "100100", "vv vf", "fmul")
floats("vfdiv",  "100000", "vv vf", "fdiv")
floats("vfrdiv", "100001", "vf", "frdiv")
floats("vfwmul", "111000", "vv vf", "fwmul", "wide")
for _number, _name in enumerate(("madd", "nmadd", "msub", "nmsub", "macc", "nmacc", "msac", "nmsac")):
    floats(f"vf{_name}", f"{0b101000 + _number:06b}", "vv vf", f"f{_name}")
for _number, _name in enumerate(("macc", "nmacc", "msac", "nmsac")):
    floats(f"vfw{_name}", f"{0b111100 + _number:06b}", "vv vf", f"fw{_name}", "wide")
for _name, _code in (("sqrt", "00000"), ("rsqrt7", "00100"), ("rec7", "00101"), ("class", "10000")):
    unary(f"vf{_name}.v", "010011", _code, OPFVV, FLOAT, f"plain f{_name}")
floats("vfmin",   "000100", "vv vf", "fmin")
floats("vfmax",   "000110", "vv vf", "fmax")
floats("vfsgnj",  "001000", "vv vf", "fsgnj")
floats("vfsgnjn", "001001", "vv vf", "fsgnjn")
floats("vfsgnjx", "001010", "vv vf", "fsgnjx")
floats("vmfeq", "011000", "vv vf", "feq", "compare")
floats("vmfle", "011001", "vv vf", "fle", "compare")
floats("vmflt", "011011", "vv vf", "flt", "compare")
floats("vmfne", "011100", "vv vf", "fne", "compare")
floats("vmfgt", "011101", "vf", "fgt", "compare")
floats("vmfge", "011111", "vf", "fge", "compare")
floats("vfmerge", "010111", "vfm", "fmerge", "merge", mask="0")
I("vfmv.v.f", "010111 1 00000 frs1 101 vd 1010111", FLOAT, vector="plain fsecond")
for _high, _shape, _letter in (("00", "plain", ""), ("01", "wide", "w"), ("10", "narrow", "n")):
    _from = "w" if _letter == "n" else "v"
    for _low, _conversion in enumerate(("xu.f", "x.f", "f.xu", "f.x", "f.f", "rod.f.f", "rtz.xu.f", "rtz.x.f")):
        if (_conversion, _letter) in (("f.f", ""), ("rod.f.f", ""), ("rod.f.f", "w")):
            continue                    # there is none
        unary(f"vf{_letter}cvt.{_conversion}.{_from}", "010010", f"{_high}{_low:03b}", OPFVV, FLOAT,
              f"{_shape} f{_letter}cvt.{_conversion}")

# --- Reductions: chapter 14 ------------------------------------------------------------------------------------------

for _number, _name in enumerate(("add", "and", "or", "xor", "minu", "min", "maxu", "max")):
    multiplies(f"vred{'sum' if _name == 'add' else _name}", f"{_number:06b}", "vs", _name, "reduce")
I("vwredsumu.vs", "110000 vm vs2 vs1 000 vd 1010111", INTEGER, vector="reduce.wide add")
I("vwredsum.vs",  "110001 vm vs2 vs1 000 vd 1010111", INTEGER, vector="reduce.wide adds")
floats("vfredusum", "000001", "vs", "fadd", "reduce.any")
floats("vfredosum", "000011", "vs", "fadd", "reduce")
floats("vfredmin",  "000101", "vs", "fmin", "reduce")
floats("vfredmax",  "000111", "vs", "fmax", "reduce")
floats("vfwredusum", "110001", "vs", "fwsum", "reduce.any.wide")
floats("vfwredosum", "110011", "vs", "fwsum", "reduce.wide")

# --- Masks: chapter 15 -----------------------------------------------------------------------------------------------

for _number, _name in enumerate(("andn", "and", "or", "xor", "orn", "nand", "nor", "xnor")):
    I(f"vm{_name}.mm", f"{0b011000 + _number:06b} 1 vs2 vs1 010 vd 1010111", INTEGER, vector=f"logic {_name}")
I("vcpop.m",  "010000 vm vs2 10000 010 rd 1010111", INTEGER, vector="count")
I("vfirst.m", "010000 vm vs2 10001 010 rd 1010111", INTEGER, vector="find")
unary("vmsbf.m", "010100", "00001", OPMVV, INTEGER, "until before")
unary("vmsof.m", "010100", "00010", OPMVV, INTEGER, "until only")
unary("vmsif.m", "010100", "00011", OPMVV, INTEGER, "until including")
unary("viota.m", "010100", "10000", OPMVV, INTEGER, "iota")
I("vid.v", "010100 vm 00000 10001 010 vd 1010111", INTEGER, vector="index")

# --- Permutations: chapter 16 ----------------------------------------------------------------------------------------

I("vmv.x.s",  "010000 1 vs2 00000 010 rd 1010111", INTEGER, vector="take")
I("vmv.s.x",  "010000 1 00000 rs1 110 vd 1010111", INTEGER, vector="give second")
I("vfmv.f.s", "010000 1 vs2 00000 001 frd 1010111", FLOAT, vector="take.float fsecond")
I("vfmv.s.f", "010000 1 00000 frs1 101 vd 1010111", FLOAT, vector="give fsecond")
integers("vslideup",   "001110", "vx vu", "second", "up")
integers("vslidedown", "001111", "vx vu", "second", "down")
multiplies("vslide1up",   "001110", "vx", "second", "up.one")
multiplies("vslide1down", "001111", "vx", "second", "down.one")
floats("vfslide1up",   "001110", "vf", "fsecond", "up.one")
floats("vfslide1down", "001111", "vf", "fsecond", "down.one")
integers("vrgather",     "001100", "vv vx vu", "second", "gather")
integers("vrgatherei16", "001110", "vv", "second", "gather.16")
I("vcompress.vm", "010111 1 vs2 vs1 010 vd 1010111", INTEGER, vector="compress")
for _registers in (1, 2, 4, 8):
    I(f"vmv{_registers}r.v", f"100111 1 vs2 {_registers - 1:05b} 011 vd 1010111", INTEGER, vector="whole")

# --- Zvbb, of which Zvkb is a part, and Zvbc -------------------------------------------------------------------------

integers("vandn", "000001", "vv vx", "andn", extension="Zvkb")
unary("vbrev8.v", "010010", "01000", OPMVV, "Zvkb", "plain brev8")
unary("vrev8.v",  "010010", "01001", OPMVV, "Zvkb", "plain rev8")
unary("vbrev.v",  "010010", "01010", OPMVV, "Zvbb", "plain brev")
unary("vclz.v",   "010010", "01100", OPMVV, "Zvbb", "plain clz")
unary("vctz.v",   "010010", "01101", OPMVV, "Zvbb", "plain ctz")
unary("vcpop.v",  "010010", "01110", OPMVV, "Zvbb", "plain cpop")
integers("vror", "010100", "vv vx", "ror", extension="Zvkb")
I("vror.vi", "01010 uimm[5] vm vs2 uimm[4:0] 011 vd 1010111", "Zvkb", vector="plain ror")
integers("vrol", "010101", "vv vx", "rol", extension="Zvkb")
integers("vwsll", "110101", "vv vx vu", "wsll", "wide", extension="Zvbb")
multiplies("vclmul",  "001100", "vv vx", "clmul", extension="Zvbc")
multiplies("vclmulh", "001101", "vv vx", "clmulh", extension="Zvbc")
