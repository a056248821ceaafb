// A block's element-wise chains over rows of bf16 or float32 numbers. All arithmetic is float32.
//
// A thread block has one row, and a thread takes eight neighbours at a time: widths, and halves of heads, are multiples
// of eight. No header is included: this text is compiled at run time, where there may be none.

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define EIGHT 8

// --- numbers --------------------------------------------------------------------------------------------------------

__device__ __forceinline__ void load(const float* from, float (&x)[EIGHT]) {
    const float4 a = reinterpret_cast<const float4*>(from)[0], b = reinterpret_cast<const float4*>(from)[1];
    x[0] = a.x, x[1] = a.y, x[2] = a.z, x[3] = a.w, x[4] = b.x, x[5] = b.y, x[6] = b.z, x[7] = b.w;
}

__device__ __forceinline__ void store(float* to, const float (&x)[EIGHT]) {
    reinterpret_cast<float4*>(to)[0] = make_float4(x[0], x[1], x[2], x[3]);
    reinterpret_cast<float4*>(to)[1] = make_float4(x[4], x[5], x[6], x[7]);
}

__device__ __forceinline__ float number(float x) { return x; }
__device__ __forceinline__ float number(u16 x) { return __uint_as_float(static_cast<u32>(x) << 16); }

__device__ __forceinline__ u32 pack(float low, float high) {
    u32 both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
}

__device__ __forceinline__ void put(float* to, float x) { *to = x; }
__device__ __forceinline__ void put(u16* to, float x) { *to = static_cast<u16>(pack(x, 0) & 0xffff); }

__device__ __forceinline__ void load(const u16* from, float (&x)[EIGHT]) {
    const uint4 v = *reinterpret_cast<const uint4*>(from);
    const u32 words[4] = {v.x, v.y, v.z, v.w};
    #pragma unroll
    for (int i = 0; i < 4; i++) {
        x[2 * i] = __uint_as_float(words[i] << 16);
        x[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
    }
}

__device__ __forceinline__ void store(u16* to, const float (&x)[EIGHT]) {
    *reinterpret_cast<uint4*>(to) = make_uint4(pack(x[0], x[1]), pack(x[2], x[3]), pack(x[4], x[5]), pack(x[6], x[7]));
}

// The sum over all threads of the block, in all of them; `place` has a slot for each warp.
__device__ __forceinline__ float block_sum(float x, float* place) {
    #pragma unroll
    for (int i = 16; i > 0; i /= 2) x += __shfl_xor_sync(~0u, x, i);
    __syncthreads();
    if (threadIdx.x % 32 == 0) place[threadIdx.x / 32] = x;
    __syncthreads();
    float sum = 0;
    for (int warp = 0; warp < blockDim.x / 32; warp++) sum += place[warp];
    return sum;
}

// 1 / sqrt(mean(x^2) + eps) of a row.
template <typename T>
__device__ __forceinline__ float inverse_rms(const T* row, int width, float eps, float* place) {
    float sum = 0, x[EIGHT];
    for (int i = threadIdx.x * EIGHT; i < width; i += blockDim.x * EIGHT) {
        load(row + i, x);
        #pragma unroll
        for (int j = 0; j < EIGHT; j++) sum += x[j] * x[j];
    }
    return rsqrtf(block_sum(sum, place) / width + eps);
}

// --- modulated norm -------------------------------------------------------------------------------------------------

// rms(x) (1 + scale) + shift: x [rows, width], scale and shift [U, width], index [rows].
template <typename T>
__device__ void modulated_norm(
    const T* x, const T* scale, const T* shift, const int* index, T* out, int width, float eps) {
    __shared__ float place[32];
    const u64 row = static_cast<u64>(blockIdx.x) * width, of = static_cast<u64>(index[blockIdx.x]) * width;
    const float inverse = inverse_rms(x + row, width, eps, place);
    float v[EIGHT], a[EIGHT], b[EIGHT];
    for (int i = threadIdx.x * EIGHT; i < width; i += blockDim.x * EIGHT) {
        load(x + row + i, v);
        load(scale + of + i, a);
        load(shift + of + i, b);
        #pragma unroll
        for (int j = 0; j < EIGHT; j++) v[j] = v[j] * inverse * (a[j] + 1) + b[j];
        store(out + row + i, v);
    }
}

// The gradient of x.
template <typename T>
__device__ void modulated_norm_backward(
    const T* x, const T* grad, const T* scale, const int* index, T* out, int width, float eps) {
    __shared__ float place[32];
    const u64 row = static_cast<u64>(blockIdx.x) * width, of = static_cast<u64>(index[blockIdx.x]) * width;
    float squares = 0, products = 0, v[EIGHT], g[EIGHT], a[EIGHT];
    for (int i = threadIdx.x * EIGHT; i < width; i += blockDim.x * EIGHT) {
        load(x + row + i, v);
        load(grad + row + i, g);
        load(scale + of + i, a);
        #pragma unroll
        for (int j = 0; j < EIGHT; j++) {
            squares += v[j] * v[j];
            products += v[j] * g[j] * (a[j] + 1);
        }
    }
    const float inverse = rsqrtf(block_sum(squares, place) / width + eps);
    const float along = block_sum(products, place) / width * inverse * inverse;
    for (int i = threadIdx.x * EIGHT; i < width; i += blockDim.x * EIGHT) {
        load(x + row + i, v);
        load(grad + row + i, g);
        load(scale + of + i, a);
        #pragma unroll
        for (int j = 0; j < EIGHT; j++) v[j] = (g[j] * (a[j] + 1) - v[j] * along) * inverse;
        store(out + row + i, v);
    }
}

// --- gated sum ------------------------------------------------------------------------------------------------------

// (x or 0) + branch gate: x and branch [rows, width], gate [U, width], index [rows].
template <typename T>
__device__ void gated_sum(const T* x, const T* branch, const T* gate, const int* index, T* out, int width) {
    const u64 row = static_cast<u64>(blockIdx.x) * width, of = static_cast<u64>(index[blockIdx.x]) * width;
    float v[EIGHT], b[EIGHT], g[EIGHT];
    for (int i = threadIdx.x * EIGHT; i < width; i += blockDim.x * EIGHT) {
        load(branch + row + i, b);
        load(gate + of + i, g);
        if (x) {
            load(x + row + i, v);
            #pragma unroll
            for (int j = 0; j < EIGHT; j++) v[j] += b[j] * g[j];
        } else {
            #pragma unroll
            for (int j = 0; j < EIGHT; j++) v[j] = b[j] * g[j];
        }
        store(out + row + i, v);
    }
}

// --- norm and rotation of heads -------------------------------------------------------------------------------------

// One head's halves at the same place: turned by `sign` times the angle of that token and place.
__device__ __forceinline__ void turn(
    float (&a)[EIGHT], float (&b)[EIGHT], const float* cos, const float* sin, u64 at, float sign) {
    float c[EIGHT], s[EIGHT];
    load(cos + at, c);
    load(sin + at, s);
    #pragma unroll
    for (int j = 0; j < EIGHT; j++) {
        const float first = a[j], second = b[j], turned = sign * s[j];
        a[j] = first * c[j] - second * turned;
        b[j] = second * c[j] + first * turned;
    }
}

// rms(x) weight, and each head rotated if there are tables: x [rows, heads 2 half], cos and sin [heads, tokens, half].
template <typename T>
__device__ void head_norm(const T* x, const T* weight, const float* cos, const float* sin, T* out, int width, int half,
    int tokens, float eps) {
    __shared__ float place[32];
    const u64 row = static_cast<u64>(blockIdx.x) * width;
    const int token = blockIdx.x % tokens;
    const float inverse = inverse_rms(x + row, width, eps, place);
    float a[EIGHT], b[EIGHT], w[EIGHT];
    for (int i = threadIdx.x * EIGHT; i < width / 2; i += blockDim.x * EIGHT) {
        const int head = i / half, in_half = i % half, first = head * 2 * half + in_half, second = first + half;
        load(x + row + first, a);
        load(weight + first, w);
        #pragma unroll
        for (int j = 0; j < EIGHT; j++) a[j] *= inverse * w[j];
        load(x + row + second, b);
        load(weight + second, w);
        #pragma unroll
        for (int j = 0; j < EIGHT; j++) b[j] *= inverse * w[j];
        if (cos) turn(a, b, cos, sin, (static_cast<u64>(head) * tokens + token) * half + in_half, 1);
        store(out + row + first, a);
        store(out + row + second, b);
    }
}

// The gradient of x.
template <typename T>
__device__ void head_norm_backward(const T* x, const T* grad, const T* weight, const float* cos, const float* sin,
    T* out, int width, int half, int tokens, float eps) {
    __shared__ float place[32];
    const u64 row = static_cast<u64>(blockIdx.x) * width;
    const int token = blockIdx.x % tokens;
    float squares = 0, products = 0, a[EIGHT], b[EIGHT], v[EIGHT], w[EIGHT];
    // The gradient of rms(x), both halves.
    auto gradient = [&](int i, int& first, int& second) {
        const int head = i / half, in_half = i % half;
        first = head * 2 * half + in_half, second = first + half;
        load(grad + row + first, a);
        load(grad + row + second, b);
        if (cos) turn(a, b, cos, sin, (static_cast<u64>(head) * tokens + token) * half + in_half, -1);
        load(weight + first, w);
        #pragma unroll
        for (int j = 0; j < EIGHT; j++) a[j] *= w[j];
        load(weight + second, w);
        #pragma unroll
        for (int j = 0; j < EIGHT; j++) b[j] *= w[j];
    };
    int first, second;
    for (int i = threadIdx.x * EIGHT; i < width / 2; i += blockDim.x * EIGHT) {
        gradient(i, first, second);
        load(x + row + first, v);
        #pragma unroll
        for (int j = 0; j < EIGHT; j++) squares += v[j] * v[j], products += v[j] * a[j];
        load(x + row + second, v);
        #pragma unroll
        for (int j = 0; j < EIGHT; j++) squares += v[j] * v[j], products += v[j] * b[j];
    }
    const float inverse = rsqrtf(block_sum(squares, place) / width + eps);
    const float along = block_sum(products, place) / width * inverse * inverse;
    for (int i = threadIdx.x * EIGHT; i < width / 2; i += blockDim.x * EIGHT) {
        gradient(i, first, second);
        load(x + row + first, v);
        #pragma unroll
        for (int j = 0; j < EIGHT; j++) a[j] = (a[j] - v[j] * along) * inverse;
        store(out + row + first, a);
        load(x + row + second, v);
        #pragma unroll
        for (int j = 0; j < EIGHT; j++) b[j] = (b[j] - v[j] * along) * inverse;
        store(out + row + second, b);
    }
}

// --- gates of heads -------------------------------------------------------------------------------------------------

__device__ __forceinline__ float sigmoid(float x) { return 1 / (1 + __expf(-x)); }

// x 2 sigmoid(logit) of every head: x [rows, heads head_width], logits [rows, heads].
template <typename T>
__device__ void gate_heads(const T* x, const T* logits, T* out, int width, int heads) {
    const u64 row = static_cast<u64>(blockIdx.x) * width, gates = static_cast<u64>(blockIdx.x) * heads;
    const int head_width = width / heads;
    float v[EIGHT];
    for (int i = threadIdx.x * EIGHT; i < width; i += blockDim.x * EIGHT) {
        const float gate = 2 * sigmoid(number(logits[gates + i / head_width]));
        load(x + row + i, v);
        #pragma unroll
        for (int j = 0; j < EIGHT; j++) v[j] *= gate;
        store(out + row + i, v);
    }
}

// The gradients of both. A warp takes a head at a time.
template <typename T>
__device__ void gate_heads_backward(
    const T* x, const T* logits, const T* grad, T* dx, T* dlogits, int width, int heads) {
    const u64 row = static_cast<u64>(blockIdx.x) * width, gates = static_cast<u64>(blockIdx.x) * heads;
    const int head_width = width / heads;
    float v[EIGHT], g[EIGHT];
    for (int head = threadIdx.x / 32; head < heads; head += blockDim.x / 32) {
        const float s = sigmoid(number(logits[gates + head]));
        float sum = 0;
        for (int i = threadIdx.x % 32 * EIGHT; i < head_width; i += 32 * EIGHT) {
            const u64 at = row + head * head_width + i;
            load(x + at, v);
            load(grad + at, g);
            #pragma unroll
            for (int j = 0; j < EIGHT; j++) {
                sum += v[j] * g[j];
                g[j] *= 2 * s;
            }
            store(dx + at, g);
        }
        #pragma unroll
        for (int i = 16; i > 0; i /= 2) sum += __shfl_xor_sync(~0u, sum, i);
        if (threadIdx.x % 32 == 0) put(dlogits + gates + head, sum * 2 * s * (1 - s));
    }
}

// --- gelu -----------------------------------------------------------------------------------------------------------

#define GELU_SCALE 0.7978845608028654f
#define GELU_CUBE 0.044715f

// tanh through the exponential, to float32's accuracy where it matters: 1 - 2 / (e^2x + 1).
__device__ __forceinline__ float tanh_of(float x) { return 1 - 2 / (__expf(2 * x) + 1); }

// 0.5 z (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))) of `count` numbers, or `grad` times its derivative.
template <typename T>
__device__ void gelu(const T* z, const T* grad, T* out, u64 count) {
    const u64 i = (static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x) * EIGHT;
    if (i >= count) return;
    float v[EIGHT], g[EIGHT];
    load(z + i, v);
    if (grad) load(grad + i, g);
    #pragma unroll
    for (int j = 0; j < EIGHT; j++) {
        const float x = v[j], t = tanh_of(GELU_SCALE * (x + GELU_CUBE * x * x * x));
        const float slope = 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * GELU_SCALE * (1 + 3 * GELU_CUBE * x * x);
        v[j] = grad ? g[j] * slope : 0.5f * x * (1 + t);
    }
    store(out + i, v);
}

// --- weights of 8-bit integers --------------------------------------------------------------------------------------

// value scale of `count` numbers: `block` neighbours, a multiple of eight, share a bf16 scale.
template <typename T>
__device__ void dequantised(const signed char* values, const u16* scales, T* out, int block, u64 count) {
    const u64 i = (static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x) * EIGHT;
    if (i >= count) return;
    const uint2 bytes = *reinterpret_cast<const uint2*>(values + i);
    const float scale = number(scales[i / block]);
    float v[EIGHT];
    #pragma unroll
    for (int j = 0; j < EIGHT; j++) {
        const u32 word = j < 4 ? bytes.x : bytes.y;
        v[j] = static_cast<signed char>(word >> (8 * (j % 4))) * scale;
    }
    store(out + i, v);
}

// --- all of it in both formats --------------------------------------------------------------------------------------

#define KERNELS(T, NAME)                                                                                               \
    extern "C" __global__ void modulated_norm_##NAME(                                                                  \
        const T* x, const T* scale, const T* shift, const int* index, T* out, int width, float eps) {                  \
        modulated_norm(x, scale, shift, index, out, width, eps);                                                       \
    }                                                                                                                  \
    extern "C" __global__ void modulated_norm_backward_##NAME(                                                         \
        const T* x, const T* grad, const T* scale, const int* index, T* out, int width, float eps) {                   \
        modulated_norm_backward(x, grad, scale, index, out, width, eps);                                               \
    }                                                                                                                  \
    extern "C" __global__ void gated_sum_##NAME(                                                                       \
        const T* x, const T* branch, const T* gate, const int* index, T* out, int width) {                             \
        gated_sum(x, branch, gate, index, out, width);                                                                 \
    }                                                                                                                  \
    extern "C" __global__ void head_norm_##NAME(const T* x, const T* weight, const float* cos, const float* sin,       \
        T* out, int width, int half, int tokens, float eps) {                                                          \
        head_norm(x, weight, cos, sin, out, width, half, tokens, eps);                                                 \
    }                                                                                                                  \
    extern "C" __global__ void head_norm_backward_##NAME(const T* x, const T* grad, const T* weight, const float* cos, \
        const float* sin, T* out, int width, int half, int tokens, float eps) {                                        \
        head_norm_backward(x, grad, weight, cos, sin, out, width, half, tokens, eps);                                  \
    }                                                                                                                  \
    extern "C" __global__ void gate_heads_##NAME(const T* x, const T* logits, T* out, int width, int heads) {          \
        gate_heads(x, logits, out, width, heads);                                                                      \
    }                                                                                                                  \
    extern "C" __global__ void gate_heads_backward_##NAME(                                                             \
        const T* x, const T* logits, const T* grad, T* dx, T* dlogits, int width, int heads) {                         \
        gate_heads_backward(x, logits, grad, dx, dlogits, width, heads);                                               \
    }                                                                                                                  \
    extern "C" __global__ void dequantised_##NAME(                                                                     \
        const signed char* values, const u16* scales, T* out, int block, u64 count) {                                  \
        dequantised(values, scales, out, block, count);                                                                \
    }                                                                                                                  \
    extern "C" __global__ void gelu_##NAME(const T* z, const T* grad, T* out, u64 count) { gelu(z, grad, out, count); }

KERNELS(float, f32)
KERNELS(u16, bf16)

// `factor` times `count` numbers, as bf16.
extern "C" __global__ void scaled_to_bf16(const float* x, u16* out, float factor, u64 count) {
    const u64 i = (static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x) * EIGHT;
    if (i >= count) return;
    float v[EIGHT];
    load(x + i, v);
    #pragma unroll
    for (int j = 0; j < EIGHT; j++) v[j] *= factor;
    store(out + i, v);
}
