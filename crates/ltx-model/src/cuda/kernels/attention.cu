// Attention of heads of 128 channels in bf16 on Hopper, forwards and backwards, without T x S scores in memory.
//
// Online softmax and recomputation are those of FlashAttention (Dao et al., arXiv 2205.14135, 2307.08691), and the
// overlap of one tile's softmax with the next tile's products that of FlashAttention-3 (Shah et al., arXiv 2407.08608).
// The backward pass runs over the tiles twice, once for the gradients of k and v and once for that of q. That costs
// seven products a tile in place of five, and nothing is added by several blocks to one place: the same bits each time.
//
// A thread block is three warpgroups: the first one copies, the others compute, 64 rows each.
// Tensors are [batch, tokens, heads, 128] with the strides of their maps. `logs` and `deltas` are [batch, heads, padded]
// with `padded` the tokens rounded up to 128: log2 of every softmax's denominator (infinite beyond the last token), and
// <gradient, result> of every query (0 there).

#define CHANNELS 128
#define PANEL_CHANNELS 64
#define ROW_BYTES 128
#define WARPS 8
#define INFINITE __int_as_float(0x7f800000)

// Bytes of a panel and of a tile of so many rows.
#define PANEL(rows) ((rows) * ROW_BYTES)
#define TILE(rows) (2 * PANEL(rows))

// Shared memory, from the first multiple of 1024 on.
__device__ __forceinline__ u32 aligned_base(const void* memory) {
    return (shared_address(memory) + 1023) & ~1023u;
}

// Both panels of a tile.
__device__ __forceinline__ void copy_tile(
    u32 to, u32 panel, const TensorMap& map, u32 barrier, int head, int token, int batch) {
    copy_box(to, map, barrier, 0, head, token, batch);
    copy_box(to + panel, map, barrier, PANEL_CHANNELS, head, token, batch);
}

// Where the 16 channels of a step lie in a tile of panels.
__device__ __forceinline__ u32 step_at(u32 tile, u32 panel, int step) {
    return tile + (step / 4) * panel + (step % 4) * 32;
}

// Writes a [64, 128] accumulator as bf16, `factor` times; `row` is the first of this thread's rows.
__device__ __forceinline__ void store_rows(
    u16* out, const float (&d)[64], float first, float second, int row, int rows, u64 stride) {
    const int column = (threadIdx.x % 4) * 2;
    #pragma unroll
    for (int g = 0; g < 16; g++) {
        u16* at = out + 8 * g + column;
        if (row < rows) *reinterpret_cast<u32*>(at + row * stride) = pack(d[4 * g] * first, d[4 * g + 1] * first);
        if (row + 8 < rows)
            *reinterpret_cast<u32*>(at + (row + 8) * stride) = pack(d[4 * g + 2] * second, d[4 * g + 3] * second);
    }
}

// --- forwards -------------------------------------------------------------------------------------------------------

#define F_QUERIES 128
#define F_KEYS 128
#define F_STAGES 2

// The largest score of both of a thread's rows; keys from `keys` on count for nothing.
__device__ __forceinline__ void row_maxima(float (&s)[64], int keys, float& first, float& second) {
    if (keys < F_KEYS) {
        const int column = (threadIdx.x % 4) * 2;
        #pragma unroll
        for (int i = 0; i < 64; i++)
            if (8 * (i / 4) + column + i % 2 >= keys) s[i] = -INFINITE;
    }
    #pragma unroll
    for (int g = 0; g < 16; g++) {
        first = fmaxf(first, fmaxf(s[4 * g], s[4 * g + 1]));
        second = fmaxf(second, fmaxf(s[4 * g + 2], s[4 * g + 3]));
    }
    first = quad_max(first);
    second = quad_max(second);
}

// One tile of the online softmax: scores become weights, and what was there before is worth `keep` of itself.
__device__ __forceinline__ void softmax_tile(
    float (&s)[64], int keys, float scale, float (&max)[2], float (&sum)[2], float (&keep)[2]) {
    float new_max[2] = {max[0], max[1]};
    row_maxima(s, keys, new_max[0], new_max[1]);
    float shift[2];
    #pragma unroll
    for (int r = 0; r < 2; r++) {
        keep[r] = exp2_fast((max[r] - new_max[r]) * scale);
        max[r] = new_max[r];
        shift[r] = new_max[r] * scale;
        sum[r] *= keep[r];
    }
    #pragma unroll
    for (int g = 0; g < 16; g++) {
        #pragma unroll
        for (int j = 0; j < 4; j++) {
            s[4 * g + j] = exp2_fast(s[4 * g + j] * scale - shift[j / 2]);
            sum[j / 2] += s[4 * g + j];
        }
    }
}

extern "C" __global__ void __launch_bounds__(384, 1) attention_forward(
    const __grid_constant__ TensorMap q_map, const __grid_constant__ TensorMap k_map,
    const __grid_constant__ TensorMap v_map, u16* out, float* logs, int heads, int queries, int keys, int padded,
    float scale) {
    extern __shared__ char memory[];
    __shared__ alignas(8) u64 barriers[1 + 4 * F_STAGES];
    const u32 q_tile = aligned_base(memory), k_tiles = q_tile + TILE(F_QUERIES),
              v_tiles = k_tiles + F_STAGES * TILE(F_KEYS);
    const u32 q_full = shared_address(barriers), k_full = q_full + 8, v_full = k_full + 8 * F_STAGES,
              k_empty = v_full + 8 * F_STAGES, v_empty = k_empty + 8 * F_STAGES;
    const int head = blockIdx.y, batch = blockIdx.z, first_query = blockIdx.x * F_QUERIES;
    const int tiles = (keys + F_KEYS - 1) / F_KEYS;

    if (threadIdx.x == 0) {
        barrier_init(q_full, 1);
        for (int s = 0; s < F_STAGES; s++) {
            barrier_init(k_full + 8 * s, 1);
            barrier_init(v_full + 8 * s, 1);
            barrier_init(k_empty + 8 * s, WARPS);
            barrier_init(v_empty + 8 * s, WARPS);
        }
        barriers_ready();
    }
    __syncthreads();

    if (threadIdx.x < 128) {
        registers_down<24>();
        if (threadIdx.x == 0) {
            barrier_expect(q_full, TILE(F_QUERIES));
            copy_tile(q_tile, PANEL(F_QUERIES), q_map, q_full, head, first_query, batch);
            for (int i = 0; i < tiles; i++) {
                const int s = i % F_STAGES;
                const u32 free = (i / F_STAGES - 1) & 1;
                if (i >= F_STAGES) barrier_wait(k_empty + 8 * s, free);
                barrier_expect(k_full + 8 * s, TILE(F_KEYS));
                copy_tile(k_tiles + s * TILE(F_KEYS), PANEL(F_KEYS), k_map, k_full + 8 * s, head, i * F_KEYS, batch);
                if (i >= F_STAGES) barrier_wait(v_empty + 8 * s, free);
                barrier_expect(v_full + 8 * s, TILE(F_KEYS));
                copy_tile(v_tiles + s * TILE(F_KEYS), PANEL(F_KEYS), v_map, v_full + 8 * s, head, i * F_KEYS, batch);
            }
        }
        return;
    }
    registers_up<240>();
    const int group = threadIdx.x / 128 - 1, lane = threadIdx.x % 32;
    const u32 own_q = q_tile + group * PANEL(64);

    float o[64], s[64];
    u32 p[32];
    float max[2] = {-INFINITE, -INFINITE}, sum[2] = {0, 0}, keep[2];

    auto scores = [&](int i) {
        const u32 tile = k_tiles + (i % F_STAGES) * TILE(F_KEYS);
        barrier_wait(k_full + 8 * (i % F_STAGES), (i / F_STAGES) & 1);
        #pragma unroll
        for (int step = 0; step < 8; step++)
            product_128(s, along_channels(step_at(own_q, PANEL(F_QUERIES), step)),
                along_channels(step_at(tile, PANEL(F_KEYS), step)), step > 0);
        products_commit();
    };
    auto values = [&](int i) {
        const u32 tile = v_tiles + (i % F_STAGES) * TILE(F_KEYS);
        barrier_wait(v_full + 8 * (i % F_STAGES), (i / F_STAGES) & 1);
        #pragma unroll
        for (int step = 0; step < 8; step++)
            product_rows(o, p + 4 * step, across_rows(tile + step * 16 * ROW_BYTES, PANEL(F_KEYS)), i > 0 || step > 0);
        products_commit();
    };
    auto release = [&](u32 barrier) {
        if (lane == 0) barrier_arrive(barrier);
    };
    auto pack_weights = [&] {
        #pragma unroll
        for (int j = 0; j < 32; j++) p[j] = pack(s[2 * j], s[2 * j + 1]);
    };

    barrier_wait(q_full, 0);
    products_begin();
    scores(0);
    products_wait<0>();
    release(k_empty);
    softmax_tile(s, keys, scale, max, sum, keep);
    pack_weights();
    for (int i = 1; i < tiles; i++) {
        products_begin();
        scores(i);
        values(i - 1);
        products_wait<1>();
        release(k_empty + 8 * (i % F_STAGES));
        softmax_tile(s, keys - i * F_KEYS, scale, max, sum, keep);
        products_wait<0>();
        release(v_empty + 8 * ((i - 1) % F_STAGES));
        #pragma unroll
        for (int j = 0; j < 64; j++) o[j] *= keep[(j / 2) % 2];
        pack_weights();
    }
    products_begin();
    values(tiles - 1);
    products_wait<0>();

    const int row = first_query + group * 64 + (threadIdx.x % 128) / 32 * 16 + lane / 4;
    sum[0] = quad_sum(sum[0]);
    sum[1] = quad_sum(sum[1]);
    const u64 stride = static_cast<u64>(heads) * CHANNELS;
    u16* own_out = out + (static_cast<u64>(batch) * queries * heads + head) * CHANNELS;
    store_rows(own_out, o, 1 / sum[0], 1 / sum[1], row, queries, stride);
    if (lane % 4 == 0) {
        float* own_logs = logs + (static_cast<u64>(batch) * heads + head) * padded;
        own_logs[row] = row < queries ? max[0] * scale + log2f(sum[0]) : INFINITE;
        own_logs[row + 8] = row + 8 < queries ? max[1] * scale + log2f(sum[1]) : INFINITE;
    }
}

// --- backwards ------------------------------------------------------------------------------------------------------

// <gradient, result> of every query. A warp takes one; the strides are those of a token, a head and a batch.
extern "C" __global__ void attention_deltas(const u16* out, const u16* grad, float* deltas, int heads, int queries,
    int padded, u64 grad_token, u64 grad_head, u64 grad_batch) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int query = blockIdx.x * (blockDim.x / 32) + warp, head = blockIdx.y, batch = blockIdx.z;
    if (query >= padded) return;
    float sum = 0;
    if (query < queries) {
        const u64 at = ((static_cast<u64>(batch) * queries + query) * heads + head) * CHANNELS;
        const uint2 a = *reinterpret_cast<const uint2*>(out + at + 4 * lane);
        const uint2 b = *reinterpret_cast<const uint2*>(
            grad + batch * grad_batch + query * grad_token + head * grad_head + 4 * lane);
        auto low = [](u32 x) { return __uint_as_float(x << 16); };
        auto high = [](u32 x) { return __uint_as_float(x & 0xffff0000u); };
        sum = low(a.x) * low(b.x) + high(a.x) * high(b.x) + low(a.y) * low(b.y) + high(a.y) * high(b.y);
    }
    #pragma unroll
    for (int i = 16; i > 0; i /= 2) sum += __shfl_xor_sync(~0u, sum, i);
    if (lane == 0) deltas[(static_cast<u64>(batch) * heads + head) * padded + query] = sum;
}

#define B_TILE 64
#define B_STAGES 2
#define B_ROWS 128

// The gradients of k and v: every block has 128 keys, and goes over all queries, 64 at a time.
extern "C" __global__ void __launch_bounds__(384, 1) attention_backward_keys(
    const __grid_constant__ TensorMap q_map, const __grid_constant__ TensorMap k_map,
    const __grid_constant__ TensorMap v_map, const __grid_constant__ TensorMap grad_map, const float* logs,
    const float* deltas, u16* dk, u16* dv, int heads, int queries, int keys, int padded, float scale,
    float natural_scale) {
    extern __shared__ char memory[];
    __shared__ alignas(8) u64 barriers[1 + 2 * B_STAGES];
    const u32 k_tile = aligned_base(memory), v_tile = k_tile + TILE(B_ROWS), q_tiles = v_tile + TILE(B_ROWS),
              g_tiles = q_tiles + B_STAGES * TILE(B_TILE), stats = g_tiles + B_STAGES * TILE(B_TILE);
    const u32 own_full = shared_address(barriers), full = own_full + 8, empty = full + 8 * B_STAGES;
    const int head = blockIdx.y, batch = blockIdx.z, first_key = blockIdx.x * B_ROWS;
    const int tiles = (queries + B_TILE - 1) / B_TILE;

    if (threadIdx.x == 0) {
        barrier_init(own_full, 1);
        for (int s = 0; s < B_STAGES; s++) {
            barrier_init(full + 8 * s, 1);
            barrier_init(empty + 8 * s, WARPS);
        }
        barriers_ready();
    }
    __syncthreads();

    if (threadIdx.x < 128) {
        registers_down<24>();
        if (threadIdx.x == 0) {
            barrier_expect(own_full, 2 * TILE(B_ROWS));
            copy_tile(k_tile, PANEL(B_ROWS), k_map, own_full, head, first_key, batch);
            copy_tile(v_tile, PANEL(B_ROWS), v_map, own_full, head, first_key, batch);
            const u64 row = (static_cast<u64>(batch) * heads + head) * padded;
            for (int i = 0; i < tiles; i++) {
                const int s = i % B_STAGES, query = i * B_TILE;
                if (i >= B_STAGES) barrier_wait(empty + 8 * s, (i / B_STAGES - 1) & 1);
                barrier_expect(full + 8 * s, 2 * TILE(B_TILE) + 2 * 4 * B_TILE);
                copy_tile(q_tiles + s * TILE(B_TILE), PANEL(B_TILE), q_map, full + 8 * s, head, query, batch);
                copy_tile(g_tiles + s * TILE(B_TILE), PANEL(B_TILE), grad_map, full + 8 * s, head, query, batch);
                copy_row(stats + s * 8 * B_TILE, logs + row + query, 4 * B_TILE, full + 8 * s);
                copy_row(stats + s * 8 * B_TILE + 4 * B_TILE, deltas + row + query, 4 * B_TILE, full + 8 * s);
            }
        }
        return;
    }
    registers_up<240>();
    const int group = threadIdx.x / 128 - 1, lane = threadIdx.x % 32, column = (lane % 4) * 2;
    const u32 own_k = k_tile + group * PANEL(64), own_v = v_tile + group * PANEL(64);

    float of_k[64], of_v[64], s[32], d[32];
    u32 p[16];
    #pragma unroll
    for (int j = 0; j < 64; j++) of_k[j] = of_v[j] = 0;

    barrier_wait(own_full, 0);
    for (int i = 0; i < tiles; i++) {
        const int stage = i % B_STAGES;
        const u32 q_tile = q_tiles + stage * TILE(B_TILE), g_tile = g_tiles + stage * TILE(B_TILE);
        barrier_wait(full + 8 * stage, (i / B_STAGES) & 1);
        products_begin();
        // Keys are rows here: s [64 keys, 64 queries], and so is the gradient of the weights.
        #pragma unroll
        for (int step = 0; step < 8; step++)
            product_64(s, along_channels(step_at(own_k, PANEL(B_ROWS), step)),
                along_channels(step_at(q_tile, PANEL(B_TILE), step)), step > 0);
        products_commit();
        #pragma unroll
        for (int step = 0; step < 8; step++)
            product_64(d, along_channels(step_at(own_v, PANEL(B_ROWS), step)),
                along_channels(step_at(g_tile, PANEL(B_TILE), step)), step > 0);
        products_commit();

        const u32 logs_at = stats + stage * 8 * B_TILE + 4 * column, deltas_at = logs_at + 4 * B_TILE;
        products_wait<1>();
        #pragma unroll
        for (int g = 0; g < 8; g++) {
            float log[2];
            asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];" : "=f"(log[0]), "=f"(log[1]) : "r"(logs_at + 32 * g));
            #pragma unroll
            for (int j = 0; j < 4; j++) s[4 * g + j] = exp2_fast(s[4 * g + j] * scale - log[j % 2]);
        }
        #pragma unroll
        for (int j = 0; j < 16; j++) p[j] = pack(s[2 * j], s[2 * j + 1]);
        products_wait<0>();
        products_begin();
        #pragma unroll
        for (int step = 0; step < 4; step++)
            product_rows(of_v, p + 4 * step, across_rows(g_tile + step * 16 * ROW_BYTES, PANEL(B_TILE)), 1);
        products_commit();
        u32 ds[16];
        #pragma unroll
        for (int g = 0; g < 8; g++) {
            float delta[2];
            asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];" : "=f"(delta[0]), "=f"(delta[1]) : "r"(deltas_at + 32 * g));
            #pragma unroll
            for (int j = 0; j < 4; j++) d[4 * g + j] = s[4 * g + j] * (d[4 * g + j] - delta[j % 2]);
            ds[2 * g] = pack(d[4 * g], d[4 * g + 1]);
            ds[2 * g + 1] = pack(d[4 * g + 2], d[4 * g + 3]);
        }
        products_begin();
        #pragma unroll
        for (int step = 0; step < 4; step++)
            product_rows(of_k, ds + 4 * step, across_rows(q_tile + step * 16 * ROW_BYTES, PANEL(B_TILE)), 1);
        products_commit();
        products_wait<0>();
        if (lane == 0) barrier_arrive(empty + 8 * stage);
    }

    const int row = first_key + group * 64 + (threadIdx.x % 128) / 32 * 16 + lane / 4;
    const u64 stride = static_cast<u64>(heads) * CHANNELS,
              at = (static_cast<u64>(batch) * keys * heads + head) * CHANNELS;
    store_rows(dk + at, of_k, natural_scale, natural_scale, row, keys, stride);
    store_rows(dv + at, of_v, 1, 1, row, keys, stride);
}

// The gradient of q: every block has 128 queries, and goes over all keys, 64 at a time.
extern "C" __global__ void __launch_bounds__(384, 1) attention_backward_queries(
    const __grid_constant__ TensorMap q_map, const __grid_constant__ TensorMap k_map,
    const __grid_constant__ TensorMap v_map, const __grid_constant__ TensorMap grad_map, const float* logs,
    const float* deltas, u16* dq, int heads, int queries, int keys, int padded, float scale, float natural_scale) {
    extern __shared__ char memory[];
    __shared__ alignas(8) u64 barriers[1 + 2 * B_STAGES];
    const u32 q_tile = aligned_base(memory), g_tile = q_tile + TILE(B_ROWS), k_tiles = g_tile + TILE(B_ROWS),
              v_tiles = k_tiles + B_STAGES * TILE(B_TILE);
    const u32 own_full = shared_address(barriers), full = own_full + 8, empty = full + 8 * B_STAGES;
    const int head = blockIdx.y, batch = blockIdx.z, first_query = blockIdx.x * B_ROWS;
    const int tiles = (keys + B_TILE - 1) / B_TILE;

    if (threadIdx.x == 0) {
        barrier_init(own_full, 1);
        for (int s = 0; s < B_STAGES; s++) {
            barrier_init(full + 8 * s, 1);
            barrier_init(empty + 8 * s, WARPS);
        }
        barriers_ready();
    }
    __syncthreads();

    if (threadIdx.x < 128) {
        registers_down<24>();
        if (threadIdx.x == 0) {
            barrier_expect(own_full, 2 * TILE(B_ROWS));
            copy_tile(q_tile, PANEL(B_ROWS), q_map, own_full, head, first_query, batch);
            copy_tile(g_tile, PANEL(B_ROWS), grad_map, own_full, head, first_query, batch);
            for (int i = 0; i < tiles; i++) {
                const int s = i % B_STAGES;
                if (i >= B_STAGES) barrier_wait(empty + 8 * s, (i / B_STAGES - 1) & 1);
                barrier_expect(full + 8 * s, 2 * TILE(B_TILE));
                copy_tile(k_tiles + s * TILE(B_TILE), PANEL(B_TILE), k_map, full + 8 * s, head, i * B_TILE, batch);
                copy_tile(v_tiles + s * TILE(B_TILE), PANEL(B_TILE), v_map, full + 8 * s, head, i * B_TILE, batch);
            }
        }
        return;
    }
    registers_up<240>();
    const int group = threadIdx.x / 128 - 1, lane = threadIdx.x % 32, column = (lane % 4) * 2;
    const u32 own_q = q_tile + group * PANEL(64), own_g = g_tile + group * PANEL(64);
    const int row = first_query + group * 64 + (threadIdx.x % 128) / 32 * 16 + lane / 4;
    const u64 stats = (static_cast<u64>(batch) * heads + head) * padded + row;
    const float log[2] = {logs[stats], logs[stats + 8]}, delta[2] = {deltas[stats], deltas[stats + 8]};

    float of_q[64], s[32], d[32];
    u32 ds[16];
    #pragma unroll
    for (int j = 0; j < 64; j++) of_q[j] = 0;

    barrier_wait(own_full, 0);
    for (int i = 0; i < tiles; i++) {
        const int stage = i % B_STAGES;
        const u32 k_tile = k_tiles + stage * TILE(B_TILE), v_tile = v_tiles + stage * TILE(B_TILE);
        barrier_wait(full + 8 * stage, (i / B_STAGES) & 1);
        products_begin();
        #pragma unroll
        for (int step = 0; step < 8; step++)
            product_64(s, along_channels(step_at(own_q, PANEL(B_ROWS), step)),
                along_channels(step_at(k_tile, PANEL(B_TILE), step)), step > 0);
        products_commit();
        #pragma unroll
        for (int step = 0; step < 8; step++)
            product_64(d, along_channels(step_at(own_g, PANEL(B_ROWS), step)),
                along_channels(step_at(v_tile, PANEL(B_TILE), step)), step > 0);
        products_commit();
        products_wait<1>();
        const int left = keys - i * B_TILE;
        #pragma unroll
        for (int j = 0; j < 32; j++) s[j] = exp2_fast(s[j] * scale - log[(j / 2) % 2]);
        if (left < B_TILE) {
            #pragma unroll
            for (int j = 0; j < 32; j++)
                if (8 * (j / 4) + column + j % 2 >= left) s[j] = 0;
        }
        products_wait<0>();
        #pragma unroll
        for (int j = 0; j < 16; j++) {
            const float of_row = delta[j % 2];
            ds[j] = pack(s[2 * j] * (d[2 * j] - of_row), s[2 * j + 1] * (d[2 * j + 1] - of_row));
        }
        products_begin();
        #pragma unroll
        for (int step = 0; step < 4; step++)
            product_rows(of_q, ds + 4 * step, across_rows(k_tile + step * 16 * ROW_BYTES, PANEL(B_TILE)), 1);
        products_commit();
        products_wait<0>();
        if (lane == 0) barrier_arrive(empty + 8 * stage);
    }

    const u64 stride = static_cast<u64>(heads) * CHANNELS,
              at = (static_cast<u64>(batch) * queries * heads + head) * CHANNELS;
    store_rows(dq + at, of_q, natural_scale, natural_scale, row, queries, stride);
}
