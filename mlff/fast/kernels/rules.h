// How the models' messages are made: rules, which are lists of paths, and the polynomials of the direction in them.

#pragma once

namespace {

constexpr int kGeometric = 9;

struct Path {
  int out, filter, geometry, source;
};

// The rules of the models; `geometry` is 0 for 1, 1 to 3 for u, 4 to 8 for the traceless second-order products.
struct VectorMessageFirst {  // PaiNN where the vectors are zero still: scalars and their products with the direction
  static constexpr int kSources = 2, kOuts = 4, kFilters = 3;
  static constexpr Path kPaths[] = {{0, 0, 0, 0}, {1, 1, 1, 1}, {2, 1, 2, 1}, {3, 1, 3, 1}};
};
struct VectorMessage {  // PaiNN: scalars, scalars times the direction, vectors
  static constexpr int kSources = 5, kOuts = 4, kFilters = 3;
  static constexpr Path kPaths[] = {{0, 0, 0, 0}, {1, 1, 1, 1}, {2, 1, 2, 1}, {3, 1, 3, 1},
                                    {1, 2, 0, 2}, {2, 2, 0, 3}, {3, 2, 0, 4}};
};
struct TensorMessage {  // TensorNet: nine components, a filter for each of the three parts
  static constexpr int kSources = 9, kOuts = 9, kFilters = 3;
  static constexpr Path kPaths[] = {{0, 0, 0, 0}, {1, 1, 0, 1}, {2, 1, 0, 2}, {3, 1, 0, 3}, {4, 2, 0, 4},
                                    {5, 2, 0, 5}, {6, 2, 0, 6}, {7, 2, 0, 7}, {8, 2, 0, 8}};
};
struct TensorEmbedding {  // TensorNet's first sum: dyads of the direction, alone and times a source
  static constexpr int kSources = 2, kOuts = 18, kFilters = 3;
  static constexpr Path kPaths[] = {{0, 0, 0, 0},  {1, 1, 1, 0},  {2, 1, 2, 0},  {3, 1, 3, 0},  {4, 2, 4, 0},  {5, 2, 5, 0},
                                    {6, 2, 6, 0},  {7, 2, 7, 0},  {8, 2, 8, 0},  {9, 0, 0, 1},  {10, 1, 1, 1}, {11, 1, 2, 1},
                                    {12, 1, 3, 1}, {13, 2, 4, 1}, {14, 2, 5, 1}, {15, 2, 6, 1}, {16, 2, 7, 1}, {17, 2, 8, 1}};
};

template <class Rule>
constexpr int kNumPaths = sizeof(Rule::kPaths) / sizeof(Path);

template <class Rule>
constexpr int max_geometry() {
  int largest = 0;
  for (const Path& path : Rule::kPaths) largest = path.geometry > largest ? path.geometry : largest;
  return largest;
}

// The polynomials of a direction; orthonormal components as in mlff/models/tensornet.py.
template <int largest, class T>
inline __attribute__((always_inline)) void polynomials(const T* u, T* y) {
  const T x = u[0], v = u[1], z = u[2];
  if constexpr (largest >= 1) y[1] = x, y[2] = v, y[3] = z;
  if constexpr (largest >= 4) {
    y[4] = v * z, y[5] = x * z, y[6] = x * v, y[7] = T(0.5) * (x * x - v * v);
    y[8] = (2 * z * z - x * x - v * v) * T(0.28867513459481287);  // 1 / sqrt(12)
  }
}
// The gradient of sum t_c Y_c in the three components of u.
template <int largest, class T>
inline __attribute__((always_inline)) void polynomial_gradient(const T* u, const T* t, T* gradient) {
  const T x = u[0], v = u[1], z = u[2];
  if constexpr (largest >= 1) gradient[0] = t[1], gradient[1] = t[2], gradient[2] = t[3];
  if constexpr (largest >= 4) {
    const T w = t[8] * T(0.28867513459481287);
    gradient[0] += t[5] * z + t[6] * v + t[7] * x - 2 * w * x;
    gradient[1] += t[4] * z + t[6] * x - t[7] * v - 2 * w * v;
    gradient[2] += t[4] * v + t[5] * x + 4 * w * z;
  }
}

}  // namespace
