// Every exported function. No exception leaves one: a failure becomes the returned code and the context's error text.
#include <cstdio>
#include <new>

#include "table.h"

namespace so8t {
namespace {

template <class F>
int32_t guarded(Context* c, const char* operation, const void* params, F&& f) {
    if (!c || c->broken) return SO8T_ERROR_BAD_ARGUMENT;
    try {
        try {
            if (!params) fail("no parameters");
            c->begin(operation);
            f();
            c->end();
            return SO8T_OK;
        } catch (const Error& e) {
            c->error = std::string(e.operation ? e.operation : operation) + ": " + e.text;
            return e.code;
        } catch (const std::bad_alloc&) {
            c->error = std::string(operation) + ": out of memory of the host, " + std::to_string(c->held) + " bytes held in buffers";
            return SO8T_ERROR_OUT_OF_MEMORY;
        } catch (const std::exception& e) {
            c->error = std::string(operation) + ": " + e.what();
        } catch (...) {
            c->error = std::string(operation) + ": unknown failure";
        }
    } catch (...) {  // the text itself could not be allocated
        return SO8T_ERROR_OUT_OF_MEMORY;
    }
    return SO8T_ERROR_INTERNAL;
}

}  // namespace
}  // namespace so8t

using so8t::guarded;

extern "C" {

SO8T_API int32_t so8t_abi_version(void) { return SO8T_ABI_VERSION; }

SO8T_API int32_t so8t_device_count(int32_t* count) {
    if (!count) return SO8T_ERROR_BAD_ARGUMENT;
    try {
        *count = so8t::device_count();
        return SO8T_OK;
    } catch (const so8t::Error& e) {
        return e.code;
    } catch (...) {
        return SO8T_ERROR_INTERNAL;
    }
}

SO8T_API int32_t so8t_open(const so8t_open_params* p, so8t_ctx** ctx) {
    if (!ctx) return SO8T_ERROR_BAD_ARGUMENT;
    *ctx = new (std::nothrow) so8t_ctx;
    if (!*ctx) return SO8T_ERROR_OUT_OF_MEMORY;
    const int32_t code = guarded(*ctx, "open", p, [&] { so8t::open_context(**ctx, *p); });
    (*ctx)->broken = code != SO8T_OK;
    return code;
}

SO8T_API int32_t so8t_close(so8t_ctx* c) {
    if (!c) return SO8T_ERROR_BAD_ARGUMENT;
    delete c;
    return SO8T_OK;
}

SO8T_API const char* so8t_last_error(so8t_ctx* c) { return c ? c->error.c_str() : "no context"; }

SO8T_API int32_t so8t_device_info(so8t_ctx* c, so8t_device_info_params* p) {
    return guarded(c, "device_info", p, [&] { so8t::device_info(*c, *p); });
}

SO8T_API int32_t so8t_alloc(so8t_ctx* c, so8t_alloc_params* p) {
    return guarded(c, "alloc", p, [&] { so8t::alloc_buffer(*c, *p); });
}

SO8T_API int32_t so8t_free(so8t_ctx* c, const so8t_free_params* p) {
    return guarded(c, "free", p, [&] { so8t::free_buffer(*c, *p); });
}

SO8T_API int32_t so8t_upload(so8t_ctx* c, const so8t_transfer_params* p) {
    return guarded(c, "upload", p, [&] { so8t::upload(*c, *p); });
}

SO8T_API int32_t so8t_download(so8t_ctx* c, const so8t_transfer_params* p) {
    return guarded(c, "download", p, [&] { so8t::download(*c, *p); });
}

SO8T_API int32_t so8t_synchronize(so8t_ctx* c) {
    return guarded(c, "synchronize", c, [&] { so8t::synchronize(*c); });
}

SO8T_API const char* so8t_memory(so8t_ctx* c) {
    static const char none[] = "";
    if (!c || c->broken) return none;
    return guarded(c, "memory", c, [&] { c->account = so8t::memory_account(*c); }) == SO8T_OK ? c->account.c_str() : none;
}

SO8T_API int32_t so8t_snapshot_begin(so8t_ctx* c, so8t_snapshot_begin_params* p) {
    return guarded(c, "snapshot_begin", p, [&] { so8t::snapshot_begin(*c, *p); });
}

// Not guarded: another thread may be at work in the context.
SO8T_API int32_t so8t_snapshot_read(so8t_ctx* c, so8t_snapshot_read_params* p) {
    if (!c || c->broken || !p) return SO8T_ERROR_BAD_ARGUMENT;
    try {
        so8t::snapshot_read(*c, *p);
        return SO8T_OK;
    } catch (const so8t::Error& e) {
        std::snprintf(p->error, sizeof p->error, "snapshot_read: %s", e.text.c_str());
        return e.code;
    } catch (...) {
        std::snprintf(p->error, sizeof p->error, "snapshot_read: unknown failure");
    }
    return SO8T_ERROR_INTERNAL;
}

SO8T_API int32_t so8t_snapshot_end(so8t_ctx* c, const so8t_snapshot_end_params* p) {
    return guarded(c, "snapshot_end", p, [&] { so8t::snapshot_end(*c, *p); });
}

SO8T_API int32_t so8t_record_begin(so8t_ctx* c, so8t_record_begin_params* p) {
    return guarded(c, "record_begin", p, [&] { c->recordings.begin(*p); });
}

SO8T_API int32_t so8t_record_end(so8t_ctx* c, const so8t_recording_params* p) {
    return guarded(c, "record_end", p, [&] { c->recordings.end(*p); });
}

SO8T_API int32_t so8t_replay(so8t_ctx* c, const so8t_recording_params* p) {
    return guarded(c, "replay", p, [&] {
        if (c->recordings.open == p->recording) so8t::fail("recording %llu has not ended", static_cast<unsigned long long>(p->recording));
        so8t::replay(*c, c->recordings.find(p->recording));
    });
}

SO8T_API int32_t so8t_record_drop(so8t_ctx* c, const so8t_recording_params* p) {
    return guarded(c, "record_drop", p, [&] { c->recordings.drop(*p); });
}

#define OPERATION(name, params)                                                                                                                         \
    SO8T_API int32_t so8t_##name(so8t_ctx* c, const so8t_##params##_params* p) {                                                                        \
        return guarded(c, #name, p, [&] {                                                                                                               \
            c->ops->name(*c, *p);                                                                                                                       \
            if (c->recordings.open) c->recordings.find(c->recordings.open).calls.push_back({#name, [q = *p](so8t::Context& d) { d.ops->name(d, q); }}); \
        });                                                                                                                                             \
    }
#include "operations.def"
#undef OPERATION

}  // extern "C"
