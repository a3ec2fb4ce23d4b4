// Memory for large tensors that every step of a simulation needs again: the C library would hand it back to the system after
// each step, and making its pages anew takes as long as filling them.

#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

namespace {

using at::Tensor;

struct Buffer {
  void* data;
  size_t size;
};

class Buffers {
 public:
  // The smallest free buffer that is large enough and not far too large; else a new one, in the place of one that is free.
  Buffer take(size_t size) {
    const std::lock_guard<std::mutex> lock(mutex_);
    auto best = free_.end();
    for (auto each = free_.begin(); each != free_.end(); ++each) {
      if (each->size >= size && (best == free_.end() || each->size < best->size)) best = each;
    }
    Buffer found{nullptr, 0};
    if (best == free_.end() && !free_.empty()) best = free_.begin();
    if (best != free_.end()) {
      found = *best;
      free_.erase(best);
      if (found.size >= size && found.size <= kFarTooLarge * size) return found;
      std::free(found.data);
    }
    found.size = (size + size / 4 + kAlignment) / kAlignment * kAlignment;  // a little more: edges come and go
    found.data = std::aligned_alloc(kAlignment, found.size);
    if (!found.data) throw std::bad_alloc();
    return found;
  }
  void give_back(Buffer buffer) {
    const std::lock_guard<std::mutex> lock(mutex_);
    free_.push_back(buffer);
  }

 private:
  static constexpr size_t kAlignment = 64, kFarTooLarge = 8;
  std::mutex mutex_;
  std::vector<Buffer> free_;
};

inline Tensor kept_buffer(at::IntArrayRef sizes, const at::TensorOptions& options) {
  static Buffers* buffers = new Buffers;  // never destroyed: tensors may outlive the library's static objects
  const size_t size = c10::multiply_integers(sizes) * options.dtype().itemsize();
  const Buffer buffer = buffers->take(std::max<size_t>(size, 1));
  return at::from_blob(buffer.data, sizes, [buffer](void*) { buffers->give_back(buffer); }, options);
}

}  // namespace
