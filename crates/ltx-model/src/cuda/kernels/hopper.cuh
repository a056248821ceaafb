// What attention needs of Hopper's machine: barriers in shared memory, the bulk copy engine, and matrix products of
// warpgroups. See the PTX ISA, "mbarrier", "cp.async.bulk.tensor" and "wgmma". No header is included: this text is
// compiled at run time, where there may be none.

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

struct alignas(64) TensorMap {
    u64 words[16];
};

__device__ __forceinline__ u32 shared_address(const void* p) {
    return static_cast<u32>(__cvta_generic_to_shared(p));
}

// --- barriers -------------------------------------------------------------------------------------------------------

__device__ __forceinline__ void barrier_init(u32 barrier, u32 arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}

// Makes initialised barriers visible to the copy engine.
__device__ __forceinline__ void barriers_ready() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

__device__ __forceinline__ void barrier_expect(u32 barrier, u32 bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

__device__ __forceinline__ void barrier_arrive(u32 barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

// Waits until the phase of this parity has ended.
__device__ __forceinline__ void barrier_wait(u32 barrier, u32 parity) {
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "again:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@done bra over;\n"
        "bra again;\n"
        "over:\n"
        "}\n" ::"r"(barrier),
        "r"(parity)
        : "memory");
}

// --- copies ---------------------------------------------------------------------------------------------------------

// A box of a tensor [batch, tokens, heads, 128] in bf16: 64 channels of one head and as many tokens as the map's box
// has. What lies outside the tensor comes as zeros.
__device__ __forceinline__ void copy_box(
    u32 to, const TensorMap& map, u32 barrier, int channel, int head, int token, int batch) {
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4, %5}], "
        "[%6];" ::"r"(to),
        "l"(&map), "r"(channel), "r"(head), "r"(token), "r"(batch), "r"(barrier)
        : "memory");
}

// `bytes` in a row; addresses and size are multiples of 16.
__device__ __forceinline__ void copy_row(u32 to, const void* from, u32 bytes, u32 barrier) {
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to), "l"(from),
        "r"(bytes), "r"(barrier)
        : "memory");
}

// --- matrix products ------------------------------------------------------------------------------------------------

// Shared memory holds a tile as panels of 64 channels: rows of 128 bytes, eight of which make a swizzled group.
#define GROUP_BYTES 1024

// A tile read along its channels: A [rows, k] or B [columns, k].
__device__ __forceinline__ u64 along_channels(u32 address) {
    return static_cast<u64>((address & 0x3FFFF) >> 4) | (1ull << 16) | (static_cast<u64>(GROUP_BYTES >> 4) << 32) |
           (1ull << 62);
}

// A tile read across its rows: B [k, columns], the columns in panels that lie `panel` bytes apart.
__device__ __forceinline__ u64 across_rows(u32 address, u32 panel) {
    return static_cast<u64>((address & 0x3FFFF) >> 4) | (static_cast<u64>(panel >> 4) << 16) |
           (static_cast<u64>(GROUP_BYTES >> 4) << 32) | (1ull << 62);
}

__device__ __forceinline__ void products_begin() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

__device__ __forceinline__ void products_commit() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

// Waits until at most `Left` groups of products are unfinished.
template <int Left>
__device__ __forceinline__ void products_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Left) : "memory");
}

#define OUT4(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define OUT16(d, i) OUT4(d, i), OUT4(d, i + 4), OUT4(d, i + 8), OUT4(d, i + 12)
#define OUT32(d) OUT16(d, 0), OUT16(d, 16)
#define OUT64(d) OUT16(d, 0), OUT16(d, 16), OUT16(d, 32), OUT16(d, 48)

#define NAMES32                                                                                                        \
    "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,"  \
    "%30,%31}"
#define NAMES64                                                                                                        \
    "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,"  \
    "%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57," \
    "%58,%59,%60,%61,%62,%63}"

// d [64, 128] = (add ? d : 0) + a [64, 16] b [128, 16]^T, both tiles in shared memory.
__device__ __forceinline__ void product_128(float (&d)[64], u64 a, u64 b, int add) {
    asm volatile(
        "{\n.reg .pred add;\nsetp.ne.b32 add, %66, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 " NAMES64 ", %64, %65, add, 1, 1, 0, 0;\n}\n"
        : OUT64(d)
        : "l"(a), "l"(b), "r"(add));
}

// d [64, 64] = (add ? d : 0) + a [64, 16] b [64, 16]^T, both tiles in shared memory.
__device__ __forceinline__ void product_64(float (&d)[32], u64 a, u64 b, int add) {
    asm volatile(
        "{\n.reg .pred add;\nsetp.ne.b32 add, %34, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " NAMES32 ", %32, %33, add, 1, 1, 0, 0;\n}\n"
        : OUT32(d)
        : "l"(a), "l"(b), "r"(add));
}

// d [64, 128] = (add ? d : 0) + a [64, 16] b [16, 128]: a in registers, b in shared memory, read across its rows.
__device__ __forceinline__ void product_rows(float (&d)[64], const u32* a, u64 b, int add) {
    asm volatile(
        "{\n.reg .pred add;\nsetp.ne.b32 add, %69, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 " NAMES64 ", {%64,%65,%66,%67}, %68, add, 1, 1, 1;\n}\n"
        : OUT64(d)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));
}

// --- numbers --------------------------------------------------------------------------------------------------------

// Two floats as bf16, the first in the lower half.
__device__ __forceinline__ u32 pack(float low, float high) {
    u32 both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
}

__device__ __forceinline__ float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// Reduces over the four lanes that share the rows of an accumulator.
__device__ __forceinline__ float quad_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(~0u, x, 1));
    return fmaxf(x, __shfl_xor_sync(~0u, x, 2));
}

__device__ __forceinline__ float quad_sum(float x) {
    x += __shfl_xor_sync(~0u, x, 1);
    return x + __shfl_xor_sync(~0u, x, 2);
}

template <int Count>
__device__ __forceinline__ void registers_up() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Count));
}

template <int Count>
__device__ __forceinline__ void registers_down() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Count));
}
