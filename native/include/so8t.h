/* so8t native ABI: the only interface between Go and a compute library. The operations are in so8t_operations.h.
 *
 * C99, fixed-width types, no struct by value, no callbacks. libso8t_cpu.so and libso8t_cuda.so export
 * the same symbols. A call returns SO8T_OK or a SO8T_ERROR, whose text, so8t_last_error(ctx), names operation, shapes and
 * cause. A library never prints, exits or throws across this interface, and keeps no pointer beyond the call.
 * A context is used by one thread at a time, except for so8t_snapshot_read. Operations are queued in order; so8t_synchronize
 * and so8t_download wait for them, and report what an earlier operation found wrong in the contents of its memory
 * (an index out of range, say), naming that operation. Results do not depend on the number of threads.
 */
#ifndef SO8T_H
#define SO8T_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SO8T_ABI_VERSION 4

#if defined(__GNUC__)
#define SO8T_API __attribute__((visibility("default")))
#else
#define SO8T_API
#endif

typedef struct so8t_ctx so8t_ctx;

/* What a call returns: who can mend a failure depends on its kind. */
enum {
    SO8T_OK = 0,
    SO8T_ERROR_BAD_ARGUMENT = 1,  /* the caller: a shape, a dtype, a handle, an index */
    SO8T_ERROR_NO_DEVICE = 2,     /* the library works, but its hardware is not there */
    SO8T_ERROR_OUT_OF_MEMORY = 3, /* of the device or the host */
    SO8T_ERROR_DEVICE = 4,        /* the device, its driver or its libraries failed */
    SO8T_ERROR_FILE = 5,          /* a file could not be written */
    SO8T_ERROR_INTERNAL = 6       /* none of these */
};

enum { SO8T_FLOAT32 = 1, SO8T_BFLOAT16 = 2, SO8T_INT8 = 3, SO8T_INT32 = 4, SO8T_UINT8 = 5, SO8T_FLOAT16 = 6 };

/* A matrix (or vector) inside a buffer. buffer 0: absent. */
typedef struct {
    uint64_t buffer;  /* handle from so8t_alloc */
    uint64_t offset;  /* bytes from the buffer's start */
    int64_t stride;   /* elements from one row to the next; columns are contiguous */
    int32_t dtype;    /* SO8T_FLOAT32 ... */
    int32_t reserved; /* 0 */
} so8t_tensor;

/* ---- context and memory ---- */

typedef struct {
    int64_t threads;      /* 0: the CPUs this process may use. CUDA ignores it. */
    int64_t device;       /* CUDA device ordinal */
    char algorithms[512]; /* path of a file. A GPU times the algorithms for a product once: those in the file are taken,
                           * new ones appended, so that a run that has the file computes the same bits. Empty: each
                           * context times them again. The CPU ignores it. */
} so8t_open_params;

typedef struct {
    char name[128]; /* CPU or GPU model */
    char isa[64];   /* instruction sets in use, e.g. "avx512_bf16" or "sm_90a" */
    int64_t threads;
    uint64_t memory_bytes; /* of the device */
    uint64_t free_bytes;   /* of it, allocated by no process */
    uint64_t held_bytes;   /* allocated now */
    uint64_t peak_bytes;   /* the most allocated at once since open */
} so8t_device_info_params;

typedef struct {
    uint64_t bytes;
    uint64_t buffer;  /* out: handle, 64-byte aligned memory, zeroed */
    char purpose[32]; /* named in out-of-memory errors */
    int64_t on_host;  /* 1: pinned memory of the host that a GPU reads over its bus, for data it reads seldom; not
                       * counted in held_bytes. A CPU has one kind of memory. */
} so8t_alloc_params;

typedef struct {
    uint64_t buffer;
} so8t_free_params;

typedef struct {
    uint64_t buffer;
    uint64_t offset;
    uint64_t bytes;
    void* host; /* upload: read; download: written */
} so8t_transfer_params;

SO8T_API int32_t so8t_abi_version(void);
/* How many devices of this library's kind there are: 1 for the CPU. No context is made. */
SO8T_API int32_t so8t_device_count(int32_t* count);
/* Lines "struct size", "struct.field offset size" and "CONSTANT = value" for every struct and constant; for layout tests. */
SO8T_API const char* so8t_layout(void);
/* On failure *ctx holds a context that only answers so8t_last_error and so8t_close, or NULL without memory. */
SO8T_API int32_t so8t_open(const so8t_open_params*, so8t_ctx** ctx);
SO8T_API int32_t so8t_close(so8t_ctx*);
/* The text of the last error of this context; valid until its next failing call. */
SO8T_API const char* so8t_last_error(so8t_ctx*);
SO8T_API int32_t so8t_device_info(so8t_ctx*, so8t_device_info_params*);
/* A line "held peak purpose", in bytes, for each purpose that memory was allocated for; valid until the next such call. */
SO8T_API const char* so8t_memory(so8t_ctx*);
SO8T_API int32_t so8t_alloc(so8t_ctx*, so8t_alloc_params*);
SO8T_API int32_t so8t_free(so8t_ctx*, const so8t_free_params*);
SO8T_API int32_t so8t_upload(so8t_ctx*, const so8t_transfer_params*);
SO8T_API int32_t so8t_download(so8t_ctx*, const so8t_transfer_params*);
SO8T_API int32_t so8t_synchronize(so8t_ctx*);

/* A copy of memory as the operations queued so far leave it; later ones do not wait for its way to the host. */
typedef struct {
    uint64_t buffer;
    uint64_t offset;
    uint64_t bytes;
    uint64_t snapshot; /* out: handle */
} so8t_snapshot_begin_params;

typedef struct {
    uint64_t snapshot;
    uint64_t offset;
    uint64_t bytes;
    void* host;      /* written */
    char error[256]; /* out: the text of a failure; so8t_last_error belongs to the context's own thread */
} so8t_snapshot_read_params;

typedef struct {
    uint64_t snapshot;
} so8t_snapshot_end_params;

SO8T_API int32_t so8t_snapshot_begin(so8t_ctx*, so8t_snapshot_begin_params*);
/* Waits for the copy only. Any thread may call it, until the snapshot ends. */
SO8T_API int32_t so8t_snapshot_read(so8t_ctx*, so8t_snapshot_read_params*);
SO8T_API int32_t so8t_snapshot_end(so8t_ctx*, const so8t_snapshot_end_params*);

/* Operations that repeat with the same parameters, as in decoding. Those called between begin and end are executed and
 * recorded; a replay executes them again on what the same memory holds then. Transfers and allocations are not recorded.
 * A replay fails if memory that it uses has been freed. */
typedef struct {
    uint64_t recording; /* out: handle */
} so8t_record_begin_params;

typedef struct {
    uint64_t recording;
} so8t_recording_params;

SO8T_API int32_t so8t_record_begin(so8t_ctx*, so8t_record_begin_params*);
SO8T_API int32_t so8t_record_end(so8t_ctx*, const so8t_recording_params*);
SO8T_API int32_t so8t_replay(so8t_ctx*, const so8t_recording_params*);
SO8T_API int32_t so8t_record_drop(so8t_ctx*, const so8t_recording_params*);

#include "so8t_operations.h"

#ifdef __cplusplus
}
#endif
#endif
