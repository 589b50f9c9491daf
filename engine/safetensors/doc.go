// Package safetensors reads and writes the safetensors format
// (https://github.com/huggingface/safetensors): eight bytes of header length, a
// JSON header that names every tensor, and the tensors' bytes without a gap.
//
// Reading maps the file into memory. A Tensor's Data is a view on that mapping:
// nothing is copied, and Release returns the pages to the system, so that a
// model larger than memory can be streamed.
// Everything the header claims is checked in Open; later accesses cannot fail.
//
// Writing puts the header first, computed from names, types and shapes alone,
// then the data in the header's order. The same tensors and metadata always
// give the same bytes.
//
// Caveats. A view is invalid after Close. A mapped file must not be truncated
// while it is open: touching a page that is gone kills the process (SIGBUS).
// Replacing the file by rename is safe. A tensor's data is aligned to its
// element only if the file's writer aligned it, as this one and the reference do.
package safetensors
