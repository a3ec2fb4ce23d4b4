// Loops unrolled at compile time, and vectors of 64 bytes in GCC's and clang's own notation.

#pragma once

#include <cstddef>
#include <cstring>
#include <type_traits>
#include <utility>

namespace {

template <class Function, std::size_t... I>
inline __attribute__((always_inline)) void unroll(Function&& function, std::index_sequence<I...>) {
  (function(std::integral_constant<int, I>{}), ...);
}
template <int N, class Function>
inline __attribute__((always_inline)) void unroll(Function&& function) {
  unroll(std::forward<Function>(function), std::make_index_sequence<N>{});
}

template <class T>
struct Simd {
  static constexpr int kLanes = 64 / sizeof(T);
  typedef T Vector __attribute__((vector_size(64)));
};

template <class T>
using Vector = typename Simd<T>::Vector;

// The last block of a row may be shorter than a register.
template <class T, bool tail>
inline __attribute__((always_inline)) Vector<T> load(const T* from, int count) {
  Vector<T> value;
  if constexpr (tail) {
    value = Vector<T>{};
    std::memcpy(&value, from, count * sizeof(T));
  } else {
    std::memcpy(&value, from, sizeof(value));
  }
  return value;
}
template <class T, bool tail>
inline __attribute__((always_inline)) void store(T* to, Vector<T> value, int count) {
  std::memcpy(to, &value, tail ? count * sizeof(T) : sizeof(value));
}

template <class T, int bytes>
inline __attribute__((always_inline)) T sum_of(const void* values) {
  if constexpr (bytes == sizeof(T)) {
    T value;
    std::memcpy(&value, values, sizeof(T));
    return value;
  } else {
    typedef T Half __attribute__((vector_size(bytes / 2)));
    Half low, high;
    std::memcpy(&low, values, sizeof(Half));
    std::memcpy(&high, static_cast<const char*>(values) + sizeof(Half), sizeof(Half));
    const Half sum = low + high;
    return sum_of<T, bytes / 2>(&sum);
  }
}
template <class T>
inline __attribute__((always_inline)) T sum_of_lanes(const Vector<T>& value) {
  return sum_of<T, 64>(&value);
}

}  // namespace
