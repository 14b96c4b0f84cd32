"""The instructions on vectors that become instructions of an x86-64 host with AVX2, or only with AVX-512."""

E8, E16, E32, E64 = (size << 3 for size in range(4))          # in vtype

# What is compiled for a group of two registers of 128 bits, by the width of elements. Operands are apart.
EVERY = (E8, E16, E32, E64)
COMPILED = {
    EVERY: "vadd.vv vadd.vx vadd.vi vsub.vv vsub.vx vrsub.vx vand.vv vor.vx vxor.vi vmv.v.v vmv.v.x vmv.v.i vmerge.vvm "
           "vmerge.vxm vredsum.vs vredor.vs vid.v vmv.s.x vmseq.vv vmseq.vx vmsne.vi "
           "vmslt.vv vmsle.vx vmsgt.vi vmv.x.s vrev8.v vandn.vx vle8.v vse8.v vrgather.vi",
    (E8, E16): "vsaddu.vv vsadd.vx vssubu.vx vssub.vv vwadd.vv vwaddu.vx vwsub.wv vwmul.vv vwmulu.vx vwmacc.vv "
               "vwmaccsu.vx vnsrl.wi",
    (E8, E16, E32): "vminu.vv vmaxu.vx vmin.vx vmax.vv vmsleu.vi vmsltu.vv vmsgtu.vx vsll.vi vsrl.vx vwadd.wv vwmul.vx "
                    "vwmulu.vv vwmaccu.vv",
    (E16, E32, E64): "vsll.vx vsrl.vi vmul.vv vmul.vx vmacc.vv vmacc.vx vnmsac.vv vmadd.vx vnmsub.vv vzext.vf2 "
                     "vsext.vf2",
    (E32, E64): "vsll.vv vsrl.vv vzext.vf4 vfadd.vv vfadd.vf vfsub.vv vfrsub.vf vfmul.vf vfdiv.vv vfrdiv.vf vfsqrt.v "
                "vfmacc.vv vfmacc.vf vfnmacc.vf vfmsac.vv vfnmsac.vf vfmadd.vv vfmadd.vf vfmsub.vf vfnmadd.vv "
                "vfnmsub.vv vfredusum.vs vfredosum.vs vfmv.f.s vmfeq.vv vmfne.vf vmflt.vv vmfle.vf vmfgt.vf vmfge.vf "
                "vfmv.v.f vfmerge.vfm",
    (E8,): "vle8ff.v vmand.mm vmandn.mm vmorn.mm vmnor.mm vcpop.m vfirst.m vl2re8.v vs2r.v vmv2r.v",
    (E32,): "vredmax.vs vredminu.vs vfcvt.f.x.v vfmv.s.f vsha2cl.vv vsha2ch.vv vsha2ms.vv vle32.v vse32.v vsra.vv",
    (E64,): "vle64.v vse64.v vsext.vf8",
}
# The same where the host has AVX-512
BY_MASKS = {
    EVERY: "vslide1up.vx vslide1down.vx vslideup.vi vslidedown.vi",
    (E16, E32, E64): "vrgather.vv",
    (E32, E64): "vfslide1up.vf vfslide1down.vf",
}
