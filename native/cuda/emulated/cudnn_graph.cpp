// The operations of a graph, one batch entry after another: every one is defined within an entry.
#include <algorithm>
#include <cmath>

#include "device.h"
#include "emulated/cudnn_values.h"

namespace so8t::cudnn {

Object* Object::output() const {
    for (int name : {kPointwiseY, kMatmulC, kReductionY, kReshapeY}) {
        if (Object* y = object(name)) return y;
    }
    return nullptr;
}

std::vector<Object*> Object::inputs() const {
    std::vector<Object*> all;
    for (int name : {kPointwiseX, kPointwiseB, kPointwiseT, kMatmulA, kMatmulB, kMatmulM, kMatmulN, kMatmulK, kReductionX, kReshapeX}) {
        if (Object* x = object(name)) all.push_back(x);
    }
    return all;
}

Shape shape_of(const Object& tensor) {
    Shape s;
    const std::vector<int64_t> dims = tensor.numbers<int64_t>(kTensorDims), strides = tensor.numbers<int64_t>(kTensorStrides);
    for (size_t i = 0; i < 4; i++) {
        s.dims[i] = i < dims.size() ? dims[i] : 0;
        s.strides[i] = i < strides.size() ? strides[i] : 0;
    }
    return s;
}

namespace {

struct Problem {
    std::string text;
};

// One batch entry of a tensor: [dims[1], dims[2], dims[3]], without gaps.
struct Values {
    int64_t dims[3];
    std::vector<float> x;

    explicit Values(const Shape& s, float fill = NAN) : dims{s.dims[1], s.dims[2], s.dims[3]}, x(static_cast<size_t>(dims[0] * dims[1] * dims[2]), fill) {}
    size_t index(int64_t h, int64_t i, int64_t j) const { return static_cast<size_t>((h * dims[1] + i) * dims[2] + j); }
    float& at(int64_t h, int64_t i, int64_t j) { return x[index(h, i, j)]; }
    // An extent of 1 stands for every index.
    float spread(int64_t h, int64_t i, int64_t j) const { return x[index(dims[0] == 1 ? 0 : h, dims[1] == 1 ? 0 : i, dims[2] == 1 ? 0 : j)]; }
};

template <class F>
void each(const int64_t (&dims)[3], F&& f) {
    for (int64_t h = 0; h < dims[0]; h++) {
        for (int64_t i = 0; i < dims[1]; i++) {
            for (int64_t j = 0; j < dims[2]; j++) f(h, i, j);
        }
    }
}

float element(const void* p, int64_t i, int type) {
    switch (type) {
        case kBfloat16: return cuda::to_float(static_cast<const bf16*>(p)[i]);
        case kInt32: return static_cast<float>(static_cast<const int32_t*>(p)[i]);
        default: return static_cast<const float*>(p)[i];
    }
}
float rounded(float x, int type) { return type == kBfloat16 ? cuda::to_float(cuda::rounded<bf16>(x)) : x; }

class Run {
public:
    Run(const Object& graph, const std::map<int64_t, void*>& addresses, int64_t batch)
        : operations_(graph.objects(kGraphOperations)), addresses_(addresses), batch_(batch) {
        for (const Object* o : operations_) written_[id(o->output())] = false;
    }

    void all() {
        std::vector<const Object*> left(operations_.begin(), operations_.end());
        while (!left.empty()) {
            const auto next = std::find_if(left.begin(), left.end(), [&](const Object* o) { return ready(*o); });
            if (next == left.end()) throw Problem{"the operations wait for one another"};
            one(**next);
            left.erase(next);
        }
    }

private:
    std::vector<Object*> operations_;
    const std::map<int64_t, void*>& addresses_;
    int64_t batch_;
    std::map<int64_t, bool> written_;  // of tensors that operations write
    std::map<int64_t, Values> virtual_;

    static int64_t id(const Object* tensor) { return tensor->number<int64_t>(kTensorId); }
    bool ready(const Object& o) const {
        const std::vector<Object*> inputs = o.inputs();
        return std::all_of(inputs.begin(), inputs.end(), [&](const Object* x) { return !written_.count(id(x)) || written_.at(id(x)); });
    }
    void* address(const Object& tensor) const {
        const auto at = addresses_.find(id(&tensor));
        if (at == addresses_.end() || !at->second) throw Problem{"tensor " + std::to_string(id(&tensor)) + " has no address"};
        return at->second;
    }

    // Where this entry begins, and how far the dimension of rows reaches: of a ragged tensor to where the next entry begins.
    struct Extent {
        int64_t first;
        int rows;  // which dimension
        int64_t count;
    };
    Extent extent(const Object& tensor, const Shape& s) const {
        const Object* ragged = tensor.object(kTensorRaggedOffsets);
        if (!ragged) return {s.dims[0] == 1 ? 0 : batch_ * s.strides[0], 1, s.dims[1]};
        int rows = 1;
        for (int d = 2; d < 4; d++) {
            if (s.strides[d] > s.strides[rows] || (s.strides[d] == s.strides[rows] && s.dims[d] > s.dims[rows])) rows = d;
        }
        const int32_t* offsets = static_cast<const int32_t*>(address(*ragged));
        return {offsets[batch_], rows, (offsets[batch_ + 1] - offsets[batch_]) / s.strides[rows]};
    }
    // f(h, i, j, place in memory) for the elements that a tensor has.
    template <class F>
    void in_memory(const Object& tensor, F&& f) const {
        const Shape s = shape_of(tensor);
        const Extent e = extent(tensor, s);
        const int64_t dims[3] = {s.dims[1], s.dims[2], s.dims[3]};
        each(dims, [&](int64_t h, int64_t i, int64_t j) {
            const int64_t at[4] = {0, h, i, j};
            if (at[e.rows] < e.count) f(h, i, j, e.first + h * s.strides[1] + i * s.strides[2] + j * s.strides[3]);
        });
    }

    Values load(const Object& tensor) const {
        if (tensor.truth(kTensorIsVirtual)) return virtual_.at(id(&tensor));
        Values v(shape_of(tensor));
        const void* p = address(tensor);
        const int type = tensor.number<int>(kTensorType);
        in_memory(tensor, [&](int64_t h, int64_t i, int64_t j, int64_t at) { v.at(h, i, j) = element(p, at, type); });
        return v;
    }
    void store(const Object& tensor, Values&& v) {
        const int type = tensor.number<int>(kTensorType);
        written_[id(&tensor)] = true;
        for (float& x : v.x) x = rounded(x, type);
        if (tensor.truth(kTensorIsVirtual)) {
            virtual_.emplace(id(&tensor), std::move(v));
            return;
        }
        void* p = address(tensor);
        in_memory(tensor, [&](int64_t h, int64_t i, int64_t j, int64_t at) {
            if (type == kBfloat16) {
                cuda::from_float(v.at(h, i, j), static_cast<bf16*>(p)[at]);
            } else if (type == kFloat) {
                static_cast<float*>(p)[at] = v.at(h, i, j);
            } else {
                throw Problem{"a result of type " + std::to_string(type)};
            }
        });
    }

    void one(const Object& o) {
        Values y(shape_of(*o.output()));
        switch (o.type) {
            case kMatmulOperation: matmul(o, y); break;
            case kPointwiseOperation: pointwise(o, y); break;
            case kReductionOperation: reduce(o, y); break;
            default: reshape(o, y);
        }
        store(*o.output(), std::move(y));
    }

    int64_t overridden(const Object& o, int name, int64_t size) const {
        const Object* x = o.object(name);
        return x ? static_cast<int64_t>(load(*x).x[0]) : size;
    }
    // Several of a's heads may share one of b's.
    void matmul(const Object& o, Values& y) {
        Values a = load(*o.object(kMatmulA)), b = load(*o.object(kMatmulB));
        if (a.dims[1] != y.dims[1] || b.dims[2] != y.dims[2] || a.dims[2] != b.dims[1] || a.dims[0] != y.dims[0] || a.dims[0] % b.dims[0] != 0) {
            throw Problem{"a product of matrices that do not fit"};
        }
        const int64_t m = overridden(o, kMatmulM, a.dims[1]), n = overridden(o, kMatmulN, b.dims[2]), k = overridden(o, kMatmulK, a.dims[2]);
        for (int64_t h = 0; h < y.dims[0]; h++) {
            for (int64_t i = 0; i < m; i++) {
                float* row = &y.at(h, i, 0);
                std::fill(row, row + n, 0.0f);
                for (int64_t l = 0; l < k; l++) {
                    const float x = a.at(h, i, l), *other = &b.at(h / (a.dims[0] / b.dims[0]), l, 0);
                    for (int64_t j = 0; j < n; j++) row[j] += x * other[j];
                }
            }
        }
    }

    static float apply(int mode, float x, float b, float t) {
        switch (mode) {
            case kAdd: return x + b;
            case kMul: return x * b;
            case kDiv: return x / b;
            case kSub: return x - b;
            case kExp: return std::exp(x);
            case kLog: return std::log(x);
            case kIdentity: return x;
            case kGreater: return x > b;
            case kGreaterEqual: return x >= b;
            case kLess: return x < b;
            case kAnd: return x != 0 && b != 0;
            case kSelect: return t != 0 ? x : b;
            default: throw Problem{"pointwise mode " + std::to_string(mode)};
        }
    }
    void pointwise(const Object& o, Values& y) {
        const Object& desc = *o.object(kPointwiseDesc);
        const int mode = desc.number<int>(kPointwiseMode);
        if (mode == kIndex) {
            const int64_t axis = desc.number<int64_t>(kPointwiseAxis);
            each(y.dims, [&](int64_t h, int64_t i, int64_t j) { y.at(h, i, j) = static_cast<float>(axis == 3 ? j : axis == 2 ? i : h); });
            return;
        }
        const Object *second = o.object(kPointwiseB), *third = o.object(kPointwiseT);
        const Values x = load(*o.object(kPointwiseX)), b = second ? load(*second) : x, t = third ? load(*third) : x;
        each(y.dims, [&](int64_t h, int64_t i, int64_t j) { y.at(h, i, j) = apply(mode, x.spread(h, i, j), b.spread(h, i, j), t.spread(h, i, j)); });
    }

    // Neighbours are put together where y has fewer.
    void reduce(const Object& o, Values& y) {
        const Values x = load(*o.object(kReductionX));
        const bool sum = o.object(kReductionDesc)->number<int>(kReductionOperator) == kSum;
        std::fill(y.x.begin(), y.x.end(), sum ? 0.0f : -INFINITY);
        each(x.dims, [&](int64_t h, int64_t i, int64_t j) {
            float& to = y.at(h * y.dims[0] / x.dims[0], i * y.dims[1] / x.dims[1], j * y.dims[2] / x.dims[2]);
            const float from = x.x[x.index(h, i, j)];
            to = sum ? to + from : from > to ? from : to;
        });
    }

    // The same memory by other sizes and strides.
    void reshape(const Object& o, Values& y) {
        const Object& from = *o.object(kReshapeX);
        Values x = load(from);
        const Shape s = shape_of(from), to = shape_of(*o.output());
        int order[3] = {1, 2, 3};
        std::sort(order, order + 3, [&](int a, int b) { return s.strides[a] > s.strides[b]; });
        each(y.dims, [&](int64_t h, int64_t i, int64_t j) {
            int64_t rest = h * to.strides[1] + i * to.strides[2] + j * to.strides[3], at[4] = {};
            for (int d : order) {
                if (s.dims[d] == 1) continue;
                at[d] = rest / s.strides[d];
                rest %= s.strides[d];
            }
            if (rest != 0) throw Problem{"a reshape between elements"};
            y.at(h, i, j) = x.at(at[1], at[2], at[3]);
        });
    }
};

}  // namespace

std::string run_graph(const Object& graph, const std::map<int64_t, void*>& addresses) {
    int64_t batch = 0;
    for (const Object* o : graph.objects(kGraphOperations)) batch = std::max(batch, shape_of(*o->output()).dims[0]);
    try {
        for (int64_t i = 0; i < batch; i++) Run(graph, addresses, i).all();
    } catch (const Problem& p) {
        return p.text;
    }
    return "";
}

}  // namespace so8t::cudnn
