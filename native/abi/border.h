// What a library does for exports.cpp besides its operations; each has its own Context.
#pragma once

#include "so8t.h"

namespace so8t {

struct Context;

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

}  // namespace so8t
