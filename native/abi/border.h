// What a library implements for abi/ besides its operations; each has its own Context.
#pragma once

#include <cstdint>

#include "so8t.h"

namespace so8t {

struct Context;
struct View;

int device_count();
void open_context(Context& c, const so8t_open_params& p);
void device_info(Context& c, so8t_device_info_params& p);
void alloc_buffer(Context& c, so8t_alloc_params& p);
void free_buffer(Context& c, const so8t_free_params& p);
void upload(Context& c, const so8t_transfer_params& p);
void download(Context& c, const so8t_transfer_params& p);
void synchronize(Context& c);
void snapshot_begin(Context& c, so8t_snapshot_begin_params& p);
void snapshot_read(Context& c, so8t_snapshot_read_params& p);
void snapshot_end(Context& c, const so8t_snapshot_end_params& p);

// Checks of a vector's values. The CPU reads them at once; a GPU queues the check and reports what it finds in the next
// synchronize or download, and until then its kernels skip the rows that a bad value would lead out of bounds.
// int32 values in [least, limit).
void check_range(Context& c, const View& v, const char* name, int64_t n, int64_t least, int64_t limit);
// int32 values, strictly ascending.
void check_ascending(Context& c, const View& v, const char* name, int64_t n);
// n + 1 int32 values that run from 0 to rows and never fall.
void check_boundaries(Context& c, const View& v, const char* name, int64_t n, int64_t rows);
// No two neighbours of n + 1 boundaries are further apart than `longest`.
void check_longest(Context& c, const View& v, const char* name, int64_t n, int64_t longest);
// n float32 values that never fall.
void check_code_book(Context& c, const View& v, int64_t n);

}  // namespace so8t
