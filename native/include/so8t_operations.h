/* The operations of the so8t native ABI. Included by so8t.h; include that.
 *
 * T: rows (tokens), C: hidden size, I: intermediate size, D: head dimension, H: heads, KV: key/value heads,
 * V: vocabulary, R: LoRA columns (slices x rank). "compute" is float32 or bfloat16, the same for all
 * activations of a call unless a comment says otherwise. Sums are taken in float32 or wider.
 */
#ifndef SO8T_OPERATIONS_H
#define SO8T_OPERATIONS_H

/* Dropout whose mask is a function of these fields only, so packing and recomputation cannot change it.
 * subkey = philox4x32-10(counter = {lo32(step), hi32(step), layer, operation}, key = seed), words 0 and 1;
 * draws  = philox4x32-10(counter = {column / 8, position[row], sample[row], 0}, key = subkey): four words,
 * each two 16-bit numbers, low half first, for eight columns. A value is dropped where its number is
 * < round(p * 65536); the others are divided by 1 - round(p * 65536) / 65536. p = 0: no dropout. */
typedef struct {
    double p;
    uint64_t seed;
    uint64_t step;
    uint32_t layer;
    uint32_t operation;
    so8t_tensor sample;   /* int32 [T] */
    so8t_tensor position; /* int32 [T] */
} so8t_dropout;

/* One LoRA adapter on rows [out_begin, out_begin + out_rows) of a (fused) weight. */
typedef struct {
    int64_t out_begin;
    int64_t out_rows;
    so8t_tensor b;      /* compute [out_rows, rank], or float32, which is rounded to it */
    so8t_tensor b_grad; /* float32 [out_rows, rank], backward only, added to */
} so8t_lora_slice;

enum { SO8T_MAX_SLICES = 3 };

/* ---- plain data movement ---- */

typedef struct {
    int64_t rows, columns;
    so8t_tensor x;
} so8t_zero_params; /* x = 0 */
SO8T_API int32_t so8t_zero(so8t_ctx*, const so8t_zero_params*);

typedef struct {
    int64_t rows, columns;
    so8t_tensor x; /* float32, bfloat16, float16 */
    so8t_tensor y; /* float32, bfloat16, float16: rounded to nearest even */
} so8t_cast_params;
SO8T_API int32_t so8t_cast(so8t_ctx*, const so8t_cast_params*);

typedef struct {
    int64_t rows, columns;
    so8t_tensor x;           /* float32, bfloat16, float16 [rows, columns] */
    so8t_tensor q;           /* int8 [rows, columns]: round_half_even(x * (127 / absmax)), the factor rounded first */
    so8t_tensor absmax;      /* float32 [rows]; a row of zeros has absmax 0 and q 0 */
} so8t_quantize_rows_params; /* LLM.int8's weight format */
SO8T_API int32_t so8t_quantize_rows(so8t_ctx*, const so8t_quantize_rows_params*);

typedef struct {
    int64_t rows, columns;
    so8t_tensor q, absmax;
    so8t_tensor y; /* float32 or bfloat16: q * absmax / 127 */
} so8t_dequantize_rows_params;
SO8T_API int32_t so8t_dequantize_rows(so8t_ctx*, const so8t_dequantize_rows_params*);

typedef struct {
    int64_t rows; /* of y */
    int64_t columns;
    int64_t x_rows;    /* index values are in [0, x_rows) */
    so8t_tensor index; /* int32 [rows] */
    so8t_tensor x;     /* any dtype [x_rows, columns] */
    so8t_tensor y;     /* float dtype [rows, columns]: y[i] = x[index[i]] (also the embedding) */
} so8t_gather_rows_params;
SO8T_API int32_t so8t_gather_rows(so8t_ctx*, const so8t_gather_rows_params*);

typedef struct {
    int64_t rows; /* of x */
    int64_t columns;
    int64_t y_rows;
    so8t_tensor index; /* int32 [rows], strictly ascending, in [0, y_rows) */
    so8t_tensor x;     /* compute [rows, columns] */
    so8t_tensor y;     /* compute [y_rows, columns]: y[index[i]] = x[i], all other rows 0 */
} so8t_scatter_rows_params;
SO8T_API int32_t so8t_scatter_rows(so8t_ctx*, const so8t_scatter_rows_params*);

/* ---- linear layers ---- */

/* y = residual + x W^T + [z_i B_i^T] by slices. Each of residual and LoRA may be absent. */
typedef struct {
    int64_t rows, in, out;
    so8t_tensor x;        /* compute [rows, in] */
    so8t_tensor w;        /* int8, bfloat16 or float32 [out, in]; int8 is expanded to compute first */
    so8t_tensor w_absmax; /* float32 [out], int8 only: w = q * absmax / 127 */
    so8t_tensor expanded; /* of an int8 w, may be absent: compute [out + R, in + R], R = slices * rank. W in its upper left, B of slice i
                             in its rows and columns [in + i * rank, ...), A below W, zeros elsewhere: what a call else makes in scratch
                             memory. Whoever changes A or B writes them here too. If rows begin on 16 bytes, the results' bits are the same. */
    so8t_tensor y;        /* compute or float32 [rows, out] */
    so8t_tensor residual; /* compute [rows, out]; may be y itself */
    int64_t rank, slices; /* slices 0: no LoRA */
    so8t_tensor z;        /* compute [rows, slices * rank], from so8t_lora_down_forward */
    so8t_lora_slice slice[SO8T_MAX_SLICES];
} so8t_linear_forward_params;
SO8T_API int32_t so8t_linear_forward(so8t_ctx*, const so8t_linear_forward_params*);

/* dx = dy W + (dz A) * mask / (1 - p). LoRA part absent where columns is 0. */
typedef struct {
    int64_t rows, in, out;
    so8t_tensor dy; /* compute [rows, out] */
    so8t_tensor w, w_absmax, expanded;
    so8t_tensor dx;  /* compute or float32 [rows, in] */
    int64_t columns; /* R */
    so8t_tensor dz;  /* compute [rows, R], from so8t_lora_up_backward */
    so8t_tensor a;   /* compute [R, in], or float32, which is rounded to it */
    so8t_dropout dropout;
} so8t_linear_backward_params;
SO8T_API int32_t so8t_linear_backward(so8t_ctx*, const so8t_linear_backward_params*);

/* z = scale * dropout(x) A^T */
typedef struct {
    int64_t rows, in, columns;
    so8t_tensor x; /* compute [rows, in] */
    so8t_tensor a; /* compute [R, in], or float32, which is rounded to it */
    so8t_tensor z; /* compute [rows, R] */
    double scale;  /* lora_alpha / r */
    so8t_dropout dropout;
} so8t_lora_down_forward_params;
SO8T_API int32_t so8t_lora_down_forward(so8t_ctx*, const so8t_lora_down_forward_params*);

/* dz_i = scale * dy_i B_i;  b_grad_i += dy_i^T z_i */
typedef struct {
    int64_t rows, out, rank, slices;
    so8t_tensor dy; /* compute [rows, out] */
    so8t_tensor z;  /* compute [rows, slices * rank] */
    so8t_tensor dz; /* compute [rows, slices * rank] */
    double scale;
    so8t_lora_slice slice[SO8T_MAX_SLICES];
} so8t_lora_up_backward_params;
SO8T_API int32_t so8t_lora_up_backward(so8t_ctx*, const so8t_lora_up_backward_params*);

/* a_grad += dz^T dropout(x) */
typedef struct {
    int64_t rows, in, columns;
    so8t_tensor x;
    so8t_tensor dz;
    so8t_tensor a_grad; /* float32 [R, in] */
    so8t_dropout dropout;
} so8t_lora_down_backward_params;
SO8T_API int32_t so8t_lora_down_backward(so8t_ctx*, const so8t_lora_down_backward_params*);

/* ---- layers ---- */

/* y = weight * x / sqrt(mean(x^2) + epsilon) */
typedef struct {
    int64_t rows, columns;
    so8t_tensor x;      /* compute [T, C] */
    so8t_tensor weight; /* float32 or compute [C] */
    so8t_tensor y;      /* compute [T, C] */
    so8t_tensor rstd;   /* float32 [T], out */
    double epsilon;
} so8t_rmsnorm_forward_params;
SO8T_API int32_t so8t_rmsnorm_forward(so8t_ctx*, const so8t_rmsnorm_forward_params*);

/* dx = residual + d rmsnorm / dx; the weight is frozen */
typedef struct {
    int64_t rows, columns;
    so8t_tensor x, weight, rstd;
    so8t_tensor dy;       /* compute [T, C] */
    so8t_tensor residual; /* compute [T, C], may be absent, may be dx */
    so8t_tensor dx;       /* compute [T, C]; may be dy */
} so8t_rmsnorm_backward_params;
SO8T_API int32_t so8t_rmsnorm_backward(so8t_ctx*, const so8t_rmsnorm_backward_params*);

/* Rotary embedding in place, pairs (j, j + rotary_dim / 2) of each head; backward turns the other way. */
typedef struct {
    int64_t rows, heads, head_dim, rotary_dim;
    int64_t table_rows;
    so8t_tensor x;        /* compute [rows, heads * head_dim] */
    so8t_tensor cos, sin; /* float32 [table_rows, rotary_dim / 2], attention factor included */
    so8t_tensor index;    /* int32 [rows]: row of the table */
} so8t_rope_params;
SO8T_API int32_t so8t_rope_forward(so8t_ctx*, const so8t_rope_params*);
SO8T_API int32_t so8t_rope_backward(so8t_ctx*, const so8t_rope_params*);

/* Causal attention over packed sequences; never looks across a boundary. Query head h reads KV head h / (H / KV). */
typedef struct {
    int64_t rows, sequences, heads, kv_heads, head_dim;
    int64_t longest;        /* no sequence is longer: in training, where a GPU may leave the work to cuDNN; 0: it may not */
    int64_t window;         /* a query at i sees keys j with i - window < j <= i; 0: no window */
    double scale;           /* 1 / sqrt(D) */
    so8t_tensor q;          /* compute [rows, H * D] */
    so8t_tensor k, v;       /* compute [rows, KV * D] */
    so8t_tensor cu_seqlens; /* int32 [sequences + 1]: 0 ... rows, ascending */
    so8t_tensor out;        /* compute [rows, H * D] */
    so8t_tensor lse;        /* float32 [H, rows], log-sum-exp of the scaled scores */
} so8t_attention_forward_params;
SO8T_API int32_t so8t_attention_forward(so8t_ctx*, const so8t_attention_forward_params*);

typedef struct {
    int64_t rows, sequences, heads, kv_heads, head_dim, longest, window;
    double scale;
    so8t_tensor q, k, v, cu_seqlens, out, lse;
    so8t_tensor dout;       /* compute [rows, H * D] */
    so8t_tensor dq, dk, dv; /* compute, shaped as q, k, v; may be slices of one fused matrix */
} so8t_attention_backward_params;
SO8T_API int32_t so8t_attention_backward(so8t_ctx*, const so8t_attention_backward_params*);

/* A cache of keys and values in pages: position p of a slot lies in row pages[slot][p / page_size] * page_size + p % page_size
 * of cache_k and cache_v, [page_count * page_size, KV * D]. Every entry of pages is in [0, page_count), used or not. */

/* cache[slot[i]][position[i]] = k[i], v[i] */
typedef struct {
    int64_t rows, columns;   /* columns: KV * D */
    int64_t slots, capacity; /* positions of a slot, a multiple of page_size */
    int64_t page_size, page_count;
    so8t_tensor k, v;
    so8t_tensor cache_k, cache_v; /* compute */
    so8t_tensor pages;            /* int32 [slots, capacity / page_size], rows without gaps */
    so8t_tensor slot, position;   /* int32 [rows] */
} so8t_kv_store_params;
SO8T_API int32_t so8t_kv_store(so8t_ctx*, const so8t_kv_store_params*);

/* Row i attends to positions (position[i] - window, position[i]] of its slot. */
typedef struct {
    int64_t rows, heads, kv_heads, head_dim, window, slots, capacity, page_size, page_count;
    double scale;
    so8t_tensor q;                /* compute [rows, H * D] */
    so8t_tensor cache_k, cache_v; /* compute */
    so8t_tensor pages;            /* int32 [slots, capacity / page_size], rows without gaps */
    so8t_tensor slot, position;   /* int32 [rows] */
    so8t_tensor out;              /* compute [rows, H * D] */
} so8t_attention_cached_params;
SO8T_API int32_t so8t_attention_cached(so8t_ctx*, const so8t_attention_cached_params*);

/* y = silu(gate) * up */
typedef struct {
    int64_t rows, columns; /* columns: I */
    so8t_tensor gate_up;   /* compute [T, 2 I] */
    so8t_tensor y;         /* compute [T, I] */
} so8t_swiglu_forward_params;
SO8T_API int32_t so8t_swiglu_forward(so8t_ctx*, const so8t_swiglu_forward_params*);

typedef struct {
    int64_t rows, columns;
    so8t_tensor gate_up;
    so8t_tensor dy;       /* compute [T, I] */
    so8t_tensor dgate_up; /* compute [T, 2 I]; may be gate_up */
} so8t_swiglu_backward_params;
SO8T_API int32_t so8t_swiglu_backward(so8t_ctx*, const so8t_swiglu_backward_params*);

/* ---- SO(8) gates ---- */

/* R = (I - A/2)^-1 (I + A/2), A skew with strict upper triangle theta by rows */
typedef struct {
    int64_t blocks;
    so8t_tensor theta;    /* float32 [blocks, 28] */
    so8t_tensor rotation; /* float32 [blocks, 64] */
} so8t_cayley_forward_params;
SO8T_API int32_t so8t_cayley_forward(so8t_ctx*, const so8t_cayley_forward_params*);

typedef struct {
    int64_t blocks;
    so8t_tensor theta, rotation;
    so8t_tensor drotation; /* float32 [blocks, 64] */
    so8t_tensor dtheta;    /* float32 [blocks, 28], added to */
} so8t_cayley_backward_params;
SO8T_API int32_t so8t_cayley_backward(so8t_ctx*, const so8t_cayley_backward_params*);

/* y = R x by blocks of eight columns */
typedef struct {
    int64_t rows, blocks;
    so8t_tensor x;        /* compute [T, 8 * blocks] */
    so8t_tensor rotation; /* float32 [blocks, 64] */
    so8t_tensor y;        /* compute [T, 8 * blocks]; may be x */
} so8t_rotate_forward_params;
SO8T_API int32_t so8t_rotate_forward(so8t_ctx*, const so8t_rotate_forward_params*);

/* dx = R^T dy;  drotation += sum over rows of dy x^T */
typedef struct {
    int64_t rows, blocks;
    so8t_tensor x, rotation;
    so8t_tensor dy;
    so8t_tensor dx;        /* may be dy */
    so8t_tensor drotation; /* float32 [blocks, 64]; absent: only dx */
} so8t_rotate_backward_params;
SO8T_API int32_t so8t_rotate_backward(so8t_ctx*, const so8t_rotate_backward_params*);

/* ---- loss and choice ---- */

/* loss[i] = logsumexp(logits[i]) - logits[i][target[i]]; target < 0: loss 0 */
typedef struct {
    int64_t rows, columns; /* columns: V */
    so8t_tensor logits;    /* compute [rows, V] */
    so8t_tensor target;    /* int32 [rows] */
    so8t_tensor loss;      /* float32 [rows] */
    double scale;          /* backward: gradient = scale * (softmax - onehot), written over the logits */
} so8t_cross_entropy_params;
SO8T_API int32_t so8t_cross_entropy_forward(so8t_ctx*, const so8t_cross_entropy_params*);
SO8T_API int32_t so8t_cross_entropy_backward(so8t_ctx*, const so8t_cross_entropy_params*); /* loss too */

typedef struct {
    int64_t rows, columns;
    so8t_tensor x;     /* float32 or bfloat16 [rows, columns] */
    so8t_tensor index; /* int32 [rows]: the first of the largest; NaN ranks below every number */
} so8t_argmax_params;
SO8T_API int32_t so8t_argmax(so8t_ctx*, const so8t_argmax_params*);

/* A draw from softmax(x / temperature) cut to its nucleus (Holtzman et al., arXiv 1904.09751): the fewest likeliest columns
 * whose probabilities reach top_p, and those as likely as the last of them. In the order of columns, the first at which the
 * kept ones' sum exceeds u times all of it. */
typedef struct {
    int64_t rows, columns;
    so8t_tensor x;      /* float32 [rows, columns] */
    so8t_tensor u;      /* float32 [rows], in [0, 1) */
    so8t_tensor index;  /* int32 [rows] */
    double temperature; /* above 0 */
    double top_p;       /* in (0, 1] */
} so8t_sample_params;
SO8T_API int32_t so8t_sample(so8t_ctx*, const so8t_sample_params*);

/* ---- optimizer ---- */

/* norm[0] = sqrt(sum of squares), summed in a fixed order */
typedef struct {
    int64_t n;
    so8t_tensor x;    /* float32 [n] */
    so8t_tensor norm; /* float32 [1] */
} so8t_global_norm_params;
SO8T_API int32_t so8t_global_norm(so8t_ctx*, const so8t_global_norm_params*);

/* Decoupled weight decay: Loshchilov and Hutter, arXiv 1711.05101; 8-bit states: Dettmers et al., arXiv 2110.02861,
 * blocks of 256 from the tensor's start, as bitsandbytes computes them. The gradient is first multiplied by
 * min(1, max_norm / (norm[0] + 1e-6)) where max_norm > 0. */
typedef struct {
    int64_t n;
    int64_t step;                   /* from 1 */
    so8t_tensor param;              /* float32 [n] */
    so8t_tensor gradient;           /* float32 [n] */
    so8t_tensor m, v;               /* float32 [n], or uint8 [n] */
    so8t_tensor m_absmax, v_absmax; /* float32 [ceil(n / 256)], uint8 states only */
    so8t_tensor m_code, v_code;     /* float32 [256], ascending: signed and unsigned dynamic maps; uint8 states only */
    so8t_tensor norm;               /* float32 [1] */
    double learning_rate, beta1, beta2, epsilon, weight_decay, max_norm;
} so8t_adamw_params;
SO8T_API int32_t so8t_adamw(so8t_ctx*, const so8t_adamw_params*);

#endif
