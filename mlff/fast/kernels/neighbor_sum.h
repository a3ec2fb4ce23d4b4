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

#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <tuple>

#include "rules.h"
#include "simd.h"

namespace {

using at::Tensor;

constexpr int kPoints = 6;  // spline coefficients that a value depends on
constexpr int kBasis = 16;  // numbers an edge: first coefficient, 6 weights, 6 weights of the derivative, direction
constexpr int64_t kGrain = 64;  // atoms below which one thread is enough

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

}  // namespace
