#include "products.h"

#include "context.h"

namespace so8t {

struct Products::State {};

Products::Products(Context& c) : c_(c) {}
Products::~Products() = default;

void Products::run(const Product&) {}

}  // namespace so8t
