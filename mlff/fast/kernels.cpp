// Sums over neighbours with tabulated radial filters, for molecular dynamics on a CPU: torch operators "mlff::...".
//
// A message from atom j to atom i is a sum of paths, each a product of a radial filter W_k(r_ij), a polynomial Y_c of
// the direction u_ij, and a row b of the source features of j, added to row a of the sum at i, feature by feature:
//
//     out[i, a, f] = sum over neighbours j, paths (a, k, c, b):  W_k,f(r_ij) Y_c(u_ij) source[j, b, f]
//
// Filters are quintic B-splines on a uniform grid, looked up in the loop, so nothing of the size [edges, features] is ever
// written. Features are taken in blocks of 64 bytes (one AVX-512 register); the table is stored block by block, so that the
// part in use stays in the first-level cache. Edges come sorted by their centre and in both directions, so the gradient is a
// sum over the same neighbours as the value, and threads share the atoms without atomics.

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/clone.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <utility>

namespace {

using at::Tensor;

constexpr int kPoints = 6;  // spline coefficients that a value depends on
constexpr int kBasis = 16;  // numbers an edge: first coefficient, 6 weights, 6 weights of the derivative, direction
constexpr int64_t kGrain = 64;  // atoms below which one thread is enough
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

template <class T>
struct Edges {
  const T* basis;
  const int32_t* offsets;
  const int32_t* neighbors;
};

template <class Rule, class T, bool tail>
void sum_block(const Edges<T>& edges, const T* source, const Vector<T>* table, T* out, int64_t begin, int64_t end,
               int64_t num_features, int count) {
  constexpr int kLargest = max_geometry<Rule>();
  for (int64_t i = begin; i < end; ++i) {
    Vector<T> sum[Rule::kOuts];
    unroll<Rule::kOuts>([&](auto a) { sum[a] = Vector<T>{}; });
    for (int32_t e = edges.offsets[i]; e < edges.offsets[i + 1]; ++e) {
      const T* basis = edges.basis + int64_t(kBasis) * e;
      const Vector<T>* rows = table + int64_t(basis[0]) * Rule::kFilters;
      Vector<T> filter[Rule::kFilters];
      unroll<Rule::kFilters>([&](auto k) { filter[k] = basis[1] * rows[k]; });
      unroll<kPoints - 1>([&](auto m) {
        unroll<Rule::kFilters>([&](auto k) { filter[k] += basis[2 + m] * rows[(m + 1) * Rule::kFilters + k]; });
      });
      T y[kGeometric];
      polynomials<kLargest>(basis + 13, y);
      const T* row = source + int64_t(edges.neighbors[e]) * Rule::kSources * num_features;
      Vector<T> from[Rule::kSources];
      unroll<Rule::kSources>([&](auto b) { from[b] = load<T, tail>(row + b * num_features, count); });
      unroll<kNumPaths<Rule>>([&](auto p) {
        constexpr Path path = Rule::kPaths[p];
        if constexpr (path.geometry == 0) {
          sum[path.out] += filter[path.filter] * from[path.source];
        } else {
          sum[path.out] += filter[path.filter] * (y[path.geometry] * from[path.source]);
        }
      });
    }
    T* to = out + i * Rule::kOuts * num_features;
    unroll<Rule::kOuts>([&](auto a) { store<T, tail>(to + a * num_features, sum[a], count); });
  }
}

// Atom j gathers what the messages that it sent to its neighbours i are worth: the sums' gradients at i, back through the
// same filters. The gradient in the vector of the edge j -> i is that of the message i <- j, which sees its negative.
template <class Rule, class T, bool tail>
void gradient_block(const Edges<T>& edges, const T* source, const T* grad_out, const Vector<T>* table, T* grad_source,
                    T* slopes, int64_t begin, int64_t end, int64_t num_features, int count) {
  constexpr int kLargest = max_geometry<Rule>();
  for (int64_t j = begin; j < end; ++j) {
    const T* row = source + j * Rule::kSources * num_features;
    Vector<T> from[Rule::kSources], grad_from[Rule::kSources];
    unroll<Rule::kSources>([&](auto b) {
      from[b] = load<T, tail>(row + b * num_features, count);
      grad_from[b] = Vector<T>{};
    });
    for (int32_t e = edges.offsets[j]; e < edges.offsets[j + 1]; ++e) {
      const T* basis = edges.basis + int64_t(kBasis) * e;
      const Vector<T>* rows = table + int64_t(basis[0]) * Rule::kFilters;
      Vector<T> filter[Rule::kFilters], slope[Rule::kFilters];
      unroll<Rule::kFilters>([&](auto k) { filter[k] = basis[1] * rows[k], slope[k] = basis[7] * rows[k]; });
      unroll<kPoints - 1>([&](auto m) {
        unroll<Rule::kFilters>([&](auto k) {
          const Vector<T> coefficients = rows[(m + 1) * Rule::kFilters + k];
          filter[k] += basis[2 + m] * coefficients;
          slope[k] += basis[8 + m] * coefficients;
        });
      });
      const T reversed[3] = {-basis[13], -basis[14], -basis[15]};
      T y[kGeometric];
      polynomials<kLargest>(reversed, y);
      const T* grad_row = grad_out + int64_t(edges.neighbors[e]) * Rule::kOuts * num_features;
      Vector<T> radial = {}, angular[kLargest + 1];
      unroll<kLargest + 1>([&](auto c) { angular[c] = Vector<T>{}; });
      unroll<kNumPaths<Rule>>([&](auto p) {
        constexpr Path path = Rule::kPaths[p];
        const Vector<T> gradient = load<T, tail>(grad_row + path.out * num_features, count);
        const Vector<T> product = gradient * from[path.source];
        if constexpr (path.geometry == 0) {
          grad_from[path.source] += filter[path.filter] * gradient;
          radial += slope[path.filter] * product;
        } else {
          grad_from[path.source] += filter[path.filter] * (y[path.geometry] * gradient);
          radial += slope[path.filter] * (y[path.geometry] * product);
          angular[path.geometry] += filter[path.filter] * product;
        }
      });
      T* slope_of_edge = slopes + int64_t(e) * (kLargest + 1);
      slope_of_edge[0] += sum_of_lanes<T>(radial);
      unroll<kLargest>([&](auto c) { slope_of_edge[c + 1] += sum_of_lanes<T>(angular[c + 1]); });
    }
    T* to = grad_source + j * Rule::kSources * num_features;
    unroll<Rule::kSources>([&](auto b) { store<T, tail>(to + b * num_features, grad_from[b], count); });
  }
}

// dE/d(vector) of each edge from the slopes of its distance and of the polynomials of its direction.
template <class Rule, class T>
void gradient_of_vectors(const Edges<T>& edges, const T* vectors, const T* slopes, T* grad_vectors, int64_t begin,
                         int64_t end) {
  constexpr int kLargest = max_geometry<Rule>();
  for (int64_t e = begin; e < end; ++e) {
    const T* u = edges.basis + e * kBasis + 13;
    const T* t = slopes + e * (kLargest + 1);
    const T* v = vectors + 3 * e;
    const T reversed[3] = {-u[0], -u[1], -u[2]};
    T across[3] = {0, 0, 0};
    polynomial_gradient<kLargest>(reversed, t, across);
    const T per_length = 1 / std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
    const T along = across[0] * u[0] + across[1] * u[1] + across[2] * u[2];
    for (int axis = 0; axis < 3; ++axis) {
      grad_vectors[3 * e + axis] = t[0] * u[axis] - (across[axis] - along * u[axis]) * per_length;
    }
  }
}

template <class T>
Edges<T> edges_of(const Tensor& basis, const Tensor& offsets, const Tensor& neighbors) {
  return {basis.const_data_ptr<T>(), offsets.const_data_ptr<int32_t>(), neighbors.const_data_ptr<int32_t>()};
}

template <class Rule, class T>
Tensor sum_with(const Tensor& source, const Tensor& basis, const Tensor& offsets, const Tensor& neighbors,
                const Tensor& table) {
  constexpr int kLanes = Simd<T>::kLanes;
  const int64_t num_atoms = source.size(0), num_features = source.size(2);
  const int64_t num_blocks = (num_features + kLanes - 1) / kLanes, per_block = table.size(1) * Rule::kFilters;
  Tensor out = at::empty({num_atoms, Rule::kOuts, num_features}, source.options());
  const Edges<T> edges = edges_of<T>(basis, offsets, neighbors);
  const T* from = source.const_data_ptr<T>();
  const auto* rows = reinterpret_cast<const Vector<T>*>(table.const_data_ptr<T>());
  T* to = out.mutable_data_ptr<T>();
  at::parallel_for(0, num_atoms, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t block = 0; block < num_blocks; ++block) {
      const int64_t first = block * kLanes;
      const int count = int(std::min<int64_t>(kLanes, num_features - first));
      auto* run = count == kLanes ? &sum_block<Rule, T, false> : &sum_block<Rule, T, true>;
      run(edges, from + first, rows + block * per_block, to + first, begin, end, num_features, count);
    }
  });
  return out;
}

template <class Rule, class T>
std::tuple<Tensor, Tensor> gradient_with(const Tensor& grad_out, const Tensor& source, const Tensor& vectors,
                                         const Tensor& basis, const Tensor& offsets, const Tensor& neighbors,
                                         const Tensor& table) {
  constexpr int kLanes = Simd<T>::kLanes, kLargest = max_geometry<Rule>();
  const int64_t num_atoms = source.size(0), num_features = source.size(2);
  const int64_t num_blocks = (num_features + kLanes - 1) / kLanes, per_block = table.size(1) * Rule::kFilters;
  Tensor grad_source = at::empty_like(source), grad_vectors = at::empty_like(vectors);
  Tensor slopes = at::zeros({vectors.size(0), kLargest + 1}, source.options());
  const Edges<T> edges = edges_of<T>(basis, offsets, neighbors);
  const T *from = source.const_data_ptr<T>(), *gradient = grad_out.const_data_ptr<T>();
  const T* lengths = vectors.const_data_ptr<T>();
  const auto* rows = reinterpret_cast<const Vector<T>*>(table.const_data_ptr<T>());
  T *to = grad_source.mutable_data_ptr<T>(), *to_slopes = slopes.mutable_data_ptr<T>();
  T* to_vectors = grad_vectors.mutable_data_ptr<T>();
  at::parallel_for(0, num_atoms, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t block = 0; block < num_blocks; ++block) {
      const int64_t first = block * kLanes;
      const int count = int(std::min<int64_t>(kLanes, num_features - first));
      auto* run = count == kLanes ? &gradient_block<Rule, T, false> : &gradient_block<Rule, T, true>;
      run(edges, from + first, gradient + first, rows + block * per_block, to + first, to_slopes, begin, end, num_features,
          count);
    }
    gradient_of_vectors<Rule, T>(edges, lengths, to_slopes, to_vectors, edges.offsets[begin], edges.offsets[end]);
  });
  return {grad_source, grad_vectors};
}

template <class Function>
auto with_rule(int64_t rule, at::ScalarType dtype, Function&& function) {
  TORCH_CHECK(dtype == at::kFloat || dtype == at::kDouble, "mlff: features must be float32 or float64, not ", dtype);
  const auto typed = [&](auto chosen) {
    return dtype == at::kFloat ? function(chosen, float{}) : function(chosen, double{});
  };
  switch (rule) {
    case 0: return typed(VectorMessageFirst{});
    case 1: return typed(VectorMessage{});
    case 2: return typed(TensorMessage{});
    case 3: return typed(TensorEmbedding{});
  }
  TORCH_CHECK(false, "mlff: there is no message rule ", rule);
}

Tensor neighbor_sum(const Tensor& source, const Tensor& /*vectors*/, const Tensor& basis, const Tensor& offsets,
                    const Tensor& neighbors, const Tensor& table, int64_t rule) {
  return with_rule(rule, source.scalar_type(), [&](auto chosen, auto zero) {
    return sum_with<decltype(chosen), decltype(zero)>(source.contiguous(), basis, offsets, neighbors, table);
  });
}

std::tuple<Tensor, Tensor> neighbor_sum_backward(const Tensor& grad_out, const Tensor& source, const Tensor& vectors,
                                                 const Tensor& basis, const Tensor& offsets, const Tensor& neighbors,
                                                 const Tensor& table, int64_t rule) {
  return with_rule(rule, source.scalar_type(), [&](auto chosen, auto zero) {
    return gradient_with<decltype(chosen), decltype(zero)>(grad_out.contiguous(), source.contiguous(), vectors.contiguous(),
                                                           basis, offsets, neighbors, table);
  });
}

// Weights of the six coefficients around u in [0, 1), and of the derivative in u.
void spline_weights(double u, double* weights, double* slopes) {
  const double u2 = u * u, u3 = u2 * u, u4 = u3 * u, u5 = u4 * u, v = 1 - u, v2 = v * v;
  weights[0] = v2 * v2 * v / 120;
  weights[1] = (26 - 50 * u + 20 * u2 + 20 * u3 - 20 * u4 + 5 * u5) / 120;
  weights[2] = (66 - 60 * u2 + 30 * u4 - 10 * u5) / 120;
  weights[3] = (26 + 50 * u + 20 * u2 - 20 * u3 - 20 * u4 + 10 * u5) / 120;
  weights[4] = (1 + 5 * u + 10 * u2 + 10 * u3 + 5 * u4 - 5 * u5) / 120;
  weights[5] = u5 / 120;
  slopes[0] = -v2 * v2 / 24;
  slopes[1] = (-50 + 40 * u + 60 * u2 - 80 * u3 + 25 * u4) / 120;
  slopes[2] = (-120 * u + 120 * u3 - 50 * u4) / 120;
  slopes[3] = (50 + 40 * u - 60 * u2 - 80 * u3 + 50 * u4) / 120;
  slopes[4] = (5 + 20 * u + 30 * u2 + 20 * u3 - 25 * u4) / 120;
  slopes[5] = u4 / 24;
}

template <class T>
void write_edge(const double* v, double square, double start, double step, int64_t num_cells, T* vector, T* basis) {
  const double distance = std::sqrt(square), x = (distance - start) / step;
  const double cell = std::fmin(std::fmax(std::floor(x), 0.0), double(num_cells - 1));
  double weights[kPoints], slopes[kPoints];
  spline_weights(x - cell, weights, slopes);
  basis[0] = T(cell);
  for (int m = 0; m < kPoints; ++m) basis[1 + m] = T(weights[m]), basis[7 + m] = T(slopes[m] / step);
  for (int axis = 0; axis < 3; ++axis) vector[axis] = T(v[axis]), basis[13 + axis] = T(v[axis] / distance);
}

// Of edges sorted by centre those that are shorter than the cutoff now: offsets, neighbours, vectors, spline weights; and the
// square of the shortest distance with its two atoms.
template <class T>
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> near_edges_of(const Tensor& positions, const Tensor& offsets,
                                                                 const Tensor& neighbors, const Tensor& translations,
                                                                 double cutoff, double start, int64_t num_cells,
                                                                 at::ScalarType dtype) {
  const int64_t num_atoms = positions.size(0), num_edges = neighbors.size(0);
  const auto options = positions.options().dtype(dtype);
  Tensor near_offsets = at::empty({num_atoms + 1}, offsets.options());
  Tensor near_neighbors = at::empty({num_edges}, neighbors.options());
  Tensor vectors = at::empty({num_edges, 3}, options), basis = at::empty({num_edges, kBasis}, options);
  Tensor nearest = at::empty({3}, positions.options());
  const double* r = positions.const_data_ptr<double>();
  const double* shifts = translations.numel() ? translations.const_data_ptr<double>() : nullptr;
  const int32_t *first = offsets.const_data_ptr<int32_t>(), *from = neighbors.const_data_ptr<int32_t>();
  int32_t *to_first = near_offsets.mutable_data_ptr<int32_t>(), *to = near_neighbors.mutable_data_ptr<int32_t>();
  T *to_vectors = vectors.mutable_data_ptr<T>(), *to_basis = basis.mutable_data_ptr<T>();
  const double largest = cutoff * cutoff, step = (cutoff - start) / double(num_cells);
  double shortest = 1e300, one = -1, other = -1;
  int32_t found = 0;
  for (int64_t i = 0; i < num_atoms; ++i) {
    to_first[i] = found;
    for (int32_t e = first[i]; e < first[i + 1]; ++e) {
      const int64_t j = from[e];
      double v[3];
      for (int axis = 0; axis < 3; ++axis) v[axis] = r[3 * j + axis] - r[3 * i + axis] + (shifts ? shifts[3 * int64_t(e) + axis] : 0);
      const double square = v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
      if (!(square < largest)) continue;
      if (square < shortest) shortest = square, one = double(i), other = double(j);
      to[found] = int32_t(j);
      write_edge(v, square, start, step, num_cells, to_vectors + 3 * int64_t(found), to_basis + kBasis * int64_t(found));
      ++found;
    }
  }
  to_first[num_atoms] = found;
  double* summary = nearest.mutable_data_ptr<double>();
  summary[0] = shortest, summary[1] = one, summary[2] = other;
  return {near_offsets, near_neighbors.narrow(0, 0, found), vectors.narrow(0, 0, found), basis.narrow(0, 0, found), nearest};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> near_edges(const Tensor& positions, const Tensor& offsets,
                                                              const Tensor& neighbors, const Tensor& translations,
                                                              double cutoff, double start, int64_t num_cells,
                                                              bool single_precision) {
  return single_precision
             ? near_edges_of<float>(positions, offsets, neighbors, translations, cutoff, start, num_cells, at::kFloat)
             : near_edges_of<double>(positions, offsets, neighbors, translations, cutoff, start, num_cells, at::kDouble);
}

// Forces [N, 3] and virial [3, 3] = dE/dstrain, both float64, from the gradient in the vector of every edge.
template <class T>
std::tuple<Tensor, Tensor> forces_of(const Tensor& grad_vectors, const Tensor& vectors, const Tensor& offsets,
                                     const Tensor& neighbors) {
  const int64_t num_atoms = offsets.size(0) - 1;
  Tensor forces = at::zeros({num_atoms, 3}, vectors.options().dtype(at::kDouble));
  Tensor virial = at::zeros({3, 3}, forces.options());
  const T *g = grad_vectors.const_data_ptr<T>(), *v = vectors.const_data_ptr<T>();
  const int32_t *first = offsets.const_data_ptr<int32_t>(), *to = neighbors.const_data_ptr<int32_t>();
  double *f = forces.mutable_data_ptr<double>(), *w = virial.mutable_data_ptr<double>();
  for (int64_t i = 0; i < num_atoms; ++i) {
    for (int64_t e = first[i]; e < first[i + 1]; ++e) {
      for (int axis = 0; axis < 3; ++axis) {
        const double gradient = g[3 * e + axis];
        f[3 * i + axis] += gradient;
        f[3 * int64_t(to[e]) + axis] -= gradient;
        for (int other = 0; other < 3; ++other) w[3 * axis + other] += gradient * v[3 * e + other];
      }
    }
  }
  return {forces, virial};
}

std::tuple<Tensor, Tensor> edge_forces(const Tensor& grad_vectors, const Tensor& vectors, const Tensor& offsets,
                                       const Tensor& neighbors) {
  const Tensor gradient = grad_vectors.contiguous();
  return vectors.scalar_type() == at::kFloat ? forces_of<float>(gradient, vectors, offsets, neighbors)
                                             : forces_of<double>(gradient, vectors, offsets, neighbors);
}

// start[index[k]] += values[k], over rows; threads share the columns.
template <class T>
void add_rows_of(T* to, const int64_t* index, const T* values, int64_t num_values, int64_t width) {
  at::parallel_for(0, width, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t k = 0; k < num_values; ++k) {
      T* row = to + index[k] * width;
      const T* value = values + k * width;
      for (int64_t column = begin; column < end; ++column) row[column] += value[column];
    }
  });
}

Tensor add_rows(const Tensor& start, const Tensor& index, const Tensor& values) {
  Tensor out = start.clone(at::MemoryFormat::Contiguous);
  const Tensor added = values.contiguous(), rows = index.contiguous();
  const int64_t num_values = rows.size(0), width = num_values ? added.numel() / num_values : 0;
  const int64_t* indices = rows.const_data_ptr<int64_t>();
  if (out.scalar_type() == at::kFloat) {
    add_rows_of(out.mutable_data_ptr<float>(), indices, added.const_data_ptr<float>(), num_values, width);
  } else {
    TORCH_CHECK(out.scalar_type() == at::kDouble, "mlff: rows must be float32 or float64, not ", out.scalar_type());
    add_rows_of(out.mutable_data_ptr<double>(), indices, added.const_data_ptr<double>(), num_values, width);
  }
  return out;
}

}  // namespace

TORCH_LIBRARY(mlff, library) {
  library.def(
      "neighbor_sum(Tensor source, Tensor vectors, Tensor basis, Tensor offsets, Tensor neighbors, Tensor table, int rule) "
      "-> Tensor");
  library.def(
      "neighbor_sum_backward(Tensor grad_out, Tensor source, Tensor vectors, Tensor basis, Tensor offsets, "
      "Tensor neighbors, Tensor table, int rule) -> (Tensor, Tensor)");
  library.def(
      "near_edges(Tensor positions, Tensor offsets, Tensor neighbors, Tensor translations, float cutoff, float start, "
      "int num_cells, bool single_precision) -> (Tensor, Tensor, Tensor, Tensor, Tensor)");
  library.def("add_rows(Tensor start, Tensor index, Tensor values) -> Tensor");
  library.def("edge_forces(Tensor grad_vectors, Tensor vectors, Tensor offsets, Tensor neighbors) -> (Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(mlff, CPU, library) {
  library.impl("neighbor_sum", &neighbor_sum);
  library.impl("neighbor_sum_backward", &neighbor_sum_backward);
  library.impl("near_edges", &near_edges);
  library.impl("add_rows", &add_rows);
  library.impl("edge_forces", &edge_forces);
}
