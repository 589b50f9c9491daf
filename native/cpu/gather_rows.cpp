// y[i] = x[index[i]], and its counterpart y[index[i]] = x[i] with zeros elsewhere; keys and values into the cache.
#include <cstring>

#include "pages.h"

namespace so8t::SO8T_ISA {

namespace {

template <class X, class Y>
void copy_row(const X* x, Y* y, int64_t n) {
    for_vectors(n, [&](int64_t j, auto k) { store(y + j, load(x + j, k), k); });
}

template <class F>
void by_any(int32_t dtype, F&& f) {
    if (dtype == SO8T_INT8) {
        f(int8_t{});
    } else {
        by_float(dtype, f);
    }
}

}  // namespace

void gather_rows(Context& c, const so8t_gather_rows_params& p) {
    check_size("rows", p.rows);
    check_size("columns", p.columns);
    check_size("x_rows", p.x_rows);
    const View index = c.vector(p.index, "index", p.rows, kI32);
    const View x = c.matrix(p.x, "x", p.x_rows, p.columns, kFloat | kI8);
    const View y = c.matrix(p.y, "y", p.rows, p.columns, kFloat);
    check_range(index, "index", p.rows, 0, p.x_rows);
    const int64_t per = rows_per_unit(p.columns);
    by_any(x.dtype, [&](auto from) {
        by_float(y.dtype, [&](auto to) {
            using X = decltype(from);
            using Y = decltype(to);
            c.parallel(ceil_div(p.rows, per), [&](int64_t unit, Worker&) {
                for (int64_t i = unit * per; i < p.rows && i < (unit + 1) * per; i++) copy_row(x.row<X>(index.as<int32_t>()[i]), y.row<Y>(i), p.columns);
            });
        });
    });
}

void scatter_rows(Context& c, const so8t_scatter_rows_params& p) {
    check_size("rows", p.rows);
    check_size("columns", p.columns);
    check_size("y_rows", p.y_rows);
    const View index = c.vector(p.index, "index", p.rows, kI32);
    const View x = c.matrix(p.x, "x", p.rows, p.columns, kCompute);
    const View y = c.matrix(p.y, "y", p.y_rows, p.columns, kCompute);
    check_range(index, "index", p.rows, 0, p.y_rows);
    const int32_t* at = index.as<int32_t>();
    for (int64_t i = 1; i < p.rows; i++) {
        if (at[i] <= at[i - 1]) fail("index[%lld] is %d after %d, not ascending", static_cast<long long>(i), at[i], at[i - 1]);
    }
    by_compute(x.dtype, [&](auto from) {
        by_compute(y.dtype, [&](auto to) {
            using X = decltype(from);
            using Y = decltype(to);
            // Unit i writes row index[i] and the empty rows before it; the last one those behind it.
            c.parallel(p.rows + 1, [&](int64_t i, Worker&) {
                const int64_t begin = i == 0 ? 0 : at[i - 1] + 1, end = i == p.rows ? p.y_rows : at[i];
                for (int64_t r = begin; r < end; r++) std::memset(static_cast<void*>(y.row<Y>(r)), 0, static_cast<size_t>(p.columns) * sizeof(Y));
                if (i < p.rows) copy_row(x.row<X>(i), y.row<Y>(at[i]), p.columns);
            });
        });
    });
}

void kv_store(Context& c, const so8t_kv_store_params& p) {
    check_size("rows", p.rows);
    check_size("columns", p.columns);
    const Pages pages = pages_of(c, p);
    const View k = c.matrix(p.k, "k", p.rows, p.columns, kCompute);
    const View v = c.matrix(p.v, "v", p.rows, p.columns, only(k.dtype));
    const View cache_k = c.matrix(p.cache_k, "cache_k", p.page_count * p.page_size, p.columns, only(k.dtype));
    const View cache_v = c.matrix(p.cache_v, "cache_v", p.page_count * p.page_size, p.columns, only(k.dtype));
    const View slot = c.vector(p.slot, "slot", p.rows, kI32);
    const View position = c.vector(p.position, "position", p.rows, kI32);
    check_range(slot, "slot", p.rows, 0, p.slots);
    check_range(position, "position", p.rows, 0, p.capacity);
    const int64_t per = rows_per_unit(p.columns);
    by_compute(k.dtype, [&](auto tag) {
        using T = decltype(tag);
        c.parallel(ceil_div(p.rows, per), [&](int64_t unit, Worker&) {
            for (int64_t i = unit * per; i < p.rows && i < (unit + 1) * per; i++) {
                const int64_t r = pages.row(slot.as<int32_t>()[i], position.as<int32_t>()[i]);
                std::memcpy(static_cast<void*>(cache_k.row<T>(r)), k.row<T>(i), static_cast<size_t>(p.columns) * sizeof(T));
                std::memcpy(static_cast<void*>(cache_v.row<T>(r)), v.row<T>(i), static_cast<size_t>(p.columns) * sizeof(T));
            }
        });
    });
}

}  // namespace so8t::SO8T_ISA
