"""Groups of elements by the host's instructions for cryptography, where they do the same as the guest's.

AES: Intel's AESENC and RISC-V's vaesem have the same bytes in the same places. SHA-256: so have the halves of the
state, and the words of the schedule. GHASH: carry-less products, once the bits of each byte are turned round.
"""
cdef extern from *:
    """
    #if defined(__x86_64__)
    #include <cpuid.h>
    #include <immintrin.h>
    #define VM_GROUP(name, instructions) \\
        __attribute__((target(instructions))) static void name( \\
            unsigned char *d, const unsigned char *a, const unsigned char *b, int size, int round)
    #define VM_LOADED(place) _mm_loadu_si128((const __m128i *)(place))
    #define VM_STORE(place, value) _mm_storeu_si128((__m128i *)(place), value)

    VM_GROUP(vm_aesem, "aes") { VM_STORE(d, _mm_aesenc_si128(VM_LOADED(d), VM_LOADED(a))); }
    VM_GROUP(vm_aesef, "aes") { VM_STORE(d, _mm_aesenclast_si128(VM_LOADED(d), VM_LOADED(a))); }
    VM_GROUP(vm_aesdf, "aes") { VM_STORE(d, _mm_aesdeclast_si128(VM_LOADED(d), VM_LOADED(a))); }
    VM_GROUP(vm_aesdm, "aes") {
        VM_STORE(d, _mm_aesimc_si128(_mm_aesdeclast_si128(VM_LOADED(d), VM_LOADED(a))));
    }

    /* The loops of the software, for words of 64 bits. */
    static void (*vm_software_groups[3])(
        unsigned char *d, const unsigned char *a, const unsigned char *b, int size, int round);

    VM_GROUP(vm_sha2ms, "sha,sse4.1") {
        __m128i last = VM_LOADED(b), middle = VM_LOADED(a), sum;
        if (size != 2) { vm_software_groups[0](d, a, b, size, round); return; }
        sum = _mm_sha256msg1_epu32(VM_LOADED(d), middle);
        sum = _mm_add_epi32(sum, _mm_alignr_epi8(last, middle, 4));
        VM_STORE(d, _mm_sha256msg2_epu32(sum, last));
    }
    VM_GROUP(vm_sha2ch, "sha,sse4.1") {
        if (size != 2) { vm_software_groups[1](d, a, b, size, round); return; }
        VM_STORE(d, _mm_sha256rnds2_epu32(VM_LOADED(d), VM_LOADED(a), _mm_srli_si128(VM_LOADED(b), 8)));
    }
    VM_GROUP(vm_sha2cl, "sha,sse4.1") {
        if (size != 2) { vm_software_groups[2](d, a, b, size, round); return; }
        VM_STORE(d, _mm_sha256rnds2_epu32(VM_LOADED(d), VM_LOADED(a), VM_LOADED(b)));
    }

    __attribute__((target("pclmul,ssse3"))) static __m128i vm_turned(__m128i a) {
        const __m128i low = _mm_set1_epi8(15);
        const __m128i table = _mm_setr_epi8(0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15);
        __m128i lower = _mm_shuffle_epi8(table, _mm_and_si128(a, low));
        __m128i upper = _mm_shuffle_epi8(table, _mm_and_si128(_mm_srli_epi16(a, 4), low));
        return _mm_or_si128(_mm_slli_epi16(lower, 4), upper);
    }
    /* Of polynomials over GF(2) modulo x^128 + x^7 + x^2 + x + 1. */
    __attribute__((target("pclmul,ssse3"))) static void vm_multiply_in_field(unsigned char *d, __m128i x, __m128i y) {
        const __m128i rest = _mm_set_epi64x(0, 0x87);
        __m128i low, high, middle, over;
        x = vm_turned(x);
        y = vm_turned(y);
        low = _mm_clmulepi64_si128(x, y, 0x00);
        high = _mm_clmulepi64_si128(x, y, 0x11);
        middle = _mm_xor_si128(_mm_clmulepi64_si128(x, y, 0x01), _mm_clmulepi64_si128(x, y, 0x10));
        low = _mm_xor_si128(low, _mm_slli_si128(middle, 8));
        high = _mm_xor_si128(high, _mm_srli_si128(middle, 8));
        over = _mm_clmulepi64_si128(high, rest, 0x01);                  /* of its upper half: 64 bits further up */
        low = _mm_xor_si128(low, _mm_slli_si128(over, 8));
        high = _mm_xor_si128(high, _mm_srli_si128(over, 8));
        low = _mm_xor_si128(low, _mm_clmulepi64_si128(high, rest, 0x00));
        VM_STORE(d, vm_turned(low));
    }
    VM_GROUP(vm_gmul, "pclmul,ssse3") { vm_multiply_in_field(d, VM_LOADED(d), VM_LOADED(a)); }
    VM_GROUP(vm_ghsh, "pclmul,ssse3") {
        vm_multiply_in_field(d, _mm_xor_si128(VM_LOADED(d), VM_LOADED(b)), VM_LOADED(a));
    }
    static int vm_has_aes(void) { return __builtin_cpu_supports("aes") != 0; }
    static int vm_has_carryless(void) { return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("ssse3"); }
    static int vm_has_sha(void) {
        unsigned int a = 0, b = 0, c = 0, d = 0;
        return __get_cpuid_count(7, 0, &a, &b, &c, &d) && b >> 29 & 1 && __builtin_cpu_supports("sse4.1");
    }
    #else
    static void (*vm_software_groups[3])(
        unsigned char *d, const unsigned char *a, const unsigned char *b, int size, int round);
    #define vm_aesem NULL
    #define vm_aesef NULL
    #define vm_aesdf NULL
    #define vm_aesdm NULL
    #define vm_sha2ms NULL
    #define vm_sha2ch NULL
    #define vm_sha2cl NULL
    #define vm_gmul NULL
    #define vm_ghsh NULL
    #define vm_has_aes() 0
    #define vm_has_carryless() 0
    #define vm_has_sha() 0
    #endif
    """
    GroupOperation aesem "vm_aesem"
    GroupOperation aesef "vm_aesef"
    GroupOperation aesdf "vm_aesdf"
    GroupOperation aesdm "vm_aesdm"
    GroupOperation sha2ms "vm_sha2ms"
    GroupOperation sha2ch "vm_sha2ch"
    GroupOperation sha2cl "vm_sha2cl"
    GroupOperation gmul "vm_gmul"
    GroupOperation ghsh "vm_ghsh"
    GroupOperation software_groups "vm_software_groups"[3]
    bint has_aes "vm_has_aes"()
    bint has_carryless "vm_has_carryless"()
    bint has_sha "vm_has_sha"()


cdef GroupOperation on_host(str name, GroupOperation software) except NULL:
    """The operation of that name: the host's, or where it has none the software's."""
    cdef GroupOperation found = NULL
    if name in ("sha2ms", "sha2ch", "sha2cl"):
        software_groups[("sha2ms", "sha2ch", "sha2cl").index(name)] = software
        if has_sha():
            found = sha2ms if name == "sha2ms" else sha2ch if name == "sha2ch" else sha2cl
    elif name in ("gmul", "ghsh") and has_carryless():
        found = gmul if name == "gmul" else ghsh
    elif has_aes():
        if name == "aesem":
            found = aesem
        elif name == "aesef":
            found = aesef
        elif name == "aesdm":
            found = aesdm
        elif name == "aesdf":
            found = aesdf
    return software if found == NULL else found
