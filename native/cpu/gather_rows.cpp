// y[i] = x[index[i]], and its counterpart y[index[i]] = x[i] with zeros elsewhere; keys and values into the cache.
#include <cstring>

#include "checks/attention.h"
#include "checks/rows.h"
#include "operations.h"

namespace so8t::SO8T_ISA {

namespace {

template <class X, class Y>
void copy_row(const X* x, Y* y, int64_t n) {
    for_vectors(n, [&](int64_t j, auto k) { store(y + j, load(x + j, k), k); });
}

}  // namespace

void gather_rows(Context& c, const so8t_gather_rows_params& p) {
    const GatherRowsViews v = check(c, p);
    const int64_t per = rows_per_unit(p.columns);
    by_number(v.x.dtype, [&](auto from) {
        by_float(v.y.dtype, [&](auto to) {
            using X = decltype(from);
            using Y = decltype(to);
            c.parallel(ceil_div(p.rows, per), [&](int64_t unit, Worker&) {
                for (int64_t i = unit * per; i < p.rows && i < (unit + 1) * per; i++) copy_row(v.x.row<X>(v.index.as<int32_t>()[i]), v.y.row<Y>(i), p.columns);
            });
        });
    });
}

void scatter_rows(Context& c, const so8t_scatter_rows_params& p) {
    const ScatterRowsViews v = check(c, p);
    const int32_t* at = v.index.as<int32_t>();
    by_compute(v.x.dtype, [&](auto from) {
        by_compute(v.y.dtype, [&](auto to) {
            using X = decltype(from);
            using Y = decltype(to);
            // Unit i writes row index[i] and the empty rows before it; the last unit the empty rows at the end.
            c.parallel(p.rows + 1, [&](int64_t i, Worker&) {
                const int64_t begin = i == 0 ? 0 : at[i - 1] + 1, end = i == p.rows ? p.y_rows : at[i];
                for (int64_t r = begin; r < end; r++) std::memset(static_cast<void*>(v.y.row<Y>(r)), 0, static_cast<size_t>(p.columns) * sizeof(Y));
                if (i < p.rows) copy_row(v.x.row<X>(i), v.y.row<Y>(at[i]), p.columns);
            });
        });
    });
}

void kv_store(Context& c, const so8t_kv_store_params& p) {
    const KVStoreViews a = check(c, p);
    const int64_t per = rows_per_unit(p.columns);
    by_compute(a.k.dtype, [&](auto tag) {
        using T = decltype(tag);
        c.parallel(ceil_div(p.rows, per), [&](int64_t unit, Worker&) {
            for (int64_t i = unit * per; i < p.rows && i < (unit + 1) * per; i++) {
                const int64_t r = a.pages.row(a.slot.as<int32_t>()[i], a.position.as<int32_t>()[i]);
                std::memcpy(static_cast<void*>(a.cache_k.row<T>(r)), a.k.row<T>(i), static_cast<size_t>(p.columns) * sizeof(T));
                std::memcpy(static_cast<void*>(a.cache_v.row<T>(r)), a.v.row<T>(i), static_cast<size_t>(p.columns) * sizeof(T));
            }
        });
    });
}

}  // namespace so8t::SO8T_ISA
