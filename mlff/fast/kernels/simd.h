// Loops unrolled at compile time, and vectors of 64 bytes in GCC's and clang's own notation.

#pragma once

#include <cstddef>
#include <cstdint>
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

// 1 / (1 + exp(-x)) to a few units in the last place: exp(-x) = 2^n exp(r), |r| at most log(2) / 2, and exp(r) by its series.
template <class T>
inline __attribute__((always_inline)) Vector<T> sigmoid(Vector<T> x) {
  constexpr bool single = sizeof(T) == 4;
  using Integer = std::conditional_t<single, std::int32_t, std::int64_t>;
  typedef Integer Integers __attribute__((vector_size(64)));
  constexpr int kDigits = single ? 23 : 52, kDegree = single ? 7 : 13;
  constexpr T kLargest = single ? T(87) : T(708);                // beyond it the exponential would overflow
  constexpr T kRound = T(3) * T(Integer(1) << (kDigits - 1));    // adding it leaves an integer in the last digits
  constexpr T kHigh = single ? T(0.693359375) : T(0.69314718036912381649);  // log(2), whose first digits times n are exact
  constexpr T kLow = single ? T(-2.12194440054690583e-4) : T(1.90821492927058770002e-10);
  const Vector<T> largest = Vector<T>{} + kLargest;
  x = x > largest ? largest : x < -largest ? -largest : x;
  const Vector<T> shifted = x * T(-1.44269504088896340736) + kRound, n = shifted - kRound;
  const Vector<T> r = -x - n * kHigh - n * kLow;
  Vector<T> series = Vector<T>{} + T(1);
  unroll<kDegree>([&](auto k) { series = series * (r * T(1.0 / (kDegree - k))) + T(1); });
  Integers bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  bits = (bits << kDigits) + (Integer(single ? 127 : 1023) << kDigits);  // all but n's digits are shifted out
  Vector<T> power;
  std::memcpy(&power, &bits, sizeof(power));
  return T(1) / (T(1) + power * series);
}

}  // namespace
