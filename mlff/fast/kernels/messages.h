// Sums of messages with filters that are given, for training on a CPU: torch operators "mlff::messages..." .
//
// With the paths (a, k, c, b) of a rule (rules.h), filters W of every pair, polynomials Y of its direction (c > 0; Y_0 = 1) and
// source features X, the sum at atom i is
//
//     out[i, a, f] = sum over neighbours j, paths:  W[ij, k, f] Y_c(u_ij) X[j, b, f]
//
// Contracted with a gradient G of `out` this is a number that is linear in each of G, W, Y and X. So the gradient is the same
// sum with one of them left out (messages_backward), and so is what training on forces needs, the gradient of the gradient
// (messages_backward_backward), which is a sum over the cotangents of W, Y and X in turn. Each is one pass over the pairs,
// which serves both directions of a pair (Y changes its sign for c = 1, 2, 3) and writes nothing of the size [edges, features].
// Threads share the features, in blocks of 64 bytes, so that no two of them add to one number.

#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>

#include <cstdint>
#include <tuple>

#include "rules.h"
#include "simd.h"

namespace {

using at::Tensor;

template <class T, bool tail>
inline __attribute__((always_inline)) void add_to(T* to, const Vector<T>& value, int count) {
  store<T, tail>(to, load<T, tail>(to, count) + value, count);
}

// The polynomials of a pair's direction, seen from its first atom or from its second.
template <int largest, class T>
inline __attribute__((always_inline)) void seen_from(bool second, const T* geometry, T* y) {
  unroll<largest>([&](auto c) { y[c + 1] = second && c < 3 ? -geometry[c] : geometry[c]; });
}

// What stays the same from block to block: sizes, and the pairs with their polynomials.
template <class T>
struct Pairs {
  const int64_t *first, *second;
  const T* geometry;
  int64_t count, num_features;
};

template <class Rule, class T, bool tail>
void messages_block(const Pairs<T>& pairs, const T* source, const T* filters, int64_t stride, T* out, int count) {
  constexpr int kLargest = max_geometry<Rule>();
  const int64_t width = pairs.num_features;
  for (int64_t p = 0; p < pairs.count; ++p) {
    Vector<T> filter[Rule::kFilters];
    unroll<Rule::kFilters>([&](auto k) { filter[k] = load<T, tail>(filters + p * stride + k * width, count); });
    for (int direction = 0; direction < 2; ++direction) {
      const int64_t i = direction ? pairs.second[p] : pairs.first[p], j = direction ? pairs.first[p] : pairs.second[p];
      const T* row = source + j * Rule::kSources * width;
      T* to = out + i * Rule::kOuts * width;
      T y[kGeometric];
      seen_from<kLargest>(direction, pairs.geometry + p * kLargest, y);
      Vector<T> sum[Rule::kOuts];
      unroll<Rule::kOuts>([&](auto a) { sum[a] = load<T, tail>(to + a * width, count); });
      unroll<kNumPaths<Rule>>([&](auto n) {
        constexpr Path path = Rule::kPaths[n];
        const Vector<T> product = filter[path.filter] * load<T, tail>(row + path.source * width, count);
        if constexpr (path.geometry == 0) sum[path.out] += product;
        else sum[path.out] += y[path.geometry] * product;
      });
      unroll<Rule::kOuts>([&](auto a) { store<T, tail>(to + a * width, sum[a], count); });
    }
  }
}

template <class Rule, class T, bool tail>
void messages_backward_block(const Pairs<T>& pairs, const T* grad, const T* source, const T* filters, int64_t stride,
                             T* grad_source, T* grad_filters, T* grad_geometry, int count) {
  constexpr int kLargest = max_geometry<Rule>();
  const int64_t width = pairs.num_features;
  for (int64_t p = 0; p < pairs.count; ++p) {
    Vector<T> filter[Rule::kFilters], grad_filter[Rule::kFilters], angular[kLargest + 1];
    unroll<Rule::kFilters>([&](auto k) {
      filter[k] = load<T, tail>(filters + p * stride + k * width, count);
      grad_filter[k] = Vector<T>{};
    });
    unroll<kLargest + 1>([&](auto c) { angular[c] = Vector<T>{}; });
    for (int direction = 0; direction < 2; ++direction) {
      const int64_t i = direction ? pairs.second[p] : pairs.first[p], j = direction ? pairs.first[p] : pairs.second[p];
      const T *row = source + j * Rule::kSources * width, *grad_row = grad + i * Rule::kOuts * width;
      T* to = grad_source + j * Rule::kSources * width;
      T y[kGeometric];
      seen_from<kLargest>(direction, pairs.geometry + p * kLargest, y);
      Vector<T> grad_from[Rule::kSources];
      unroll<Rule::kSources>([&](auto b) { grad_from[b] = load<T, tail>(to + b * width, count); });
      unroll<kNumPaths<Rule>>([&](auto n) {
        constexpr Path path = Rule::kPaths[n];
        const Vector<T> gradient = load<T, tail>(grad_row + path.out * width, count);
        const Vector<T> product = gradient * load<T, tail>(row + path.source * width, count);
        if constexpr (path.geometry == 0) {
          grad_filter[path.filter] += product;
          grad_from[path.source] += filter[path.filter] * gradient;
        } else {
          grad_filter[path.filter] += y[path.geometry] * product;
          grad_from[path.source] += filter[path.filter] * (y[path.geometry] * gradient);
          const Vector<T> slope = filter[path.filter] * product;
          angular[path.geometry] += direction && path.geometry < 4 ? -slope : slope;
        }
      });
      unroll<Rule::kSources>([&](auto b) { store<T, tail>(to + b * width, grad_from[b], count); });
    }
    unroll<Rule::kFilters>([&](auto k) {
      store<T, tail>(grad_filters + (p * Rule::kFilters + k) * width, grad_filter[k], count);
    });
    unroll<kLargest>([&](auto c) { grad_geometry[p * kLargest + c] = sum_of_lanes<T>(angular[c + 1]); });
  }
}

// The tensors of the gradient's gradient: the arguments of messages_backward, and the cotangents of its results.
template <class T>
struct Second {
  const T *grad, *source, *filters, *source_tangent, *filters_tangent, *geometry_tangent;
  int64_t stride, tangent_stride;
};

template <class Rule, class T, bool tail>
void messages_backward_backward_block(const Pairs<T>& pairs, const Second<T>& given, T* grad_grad, T* grad_source,
                                      T* grad_filters, T* grad_geometry, int count) {
  constexpr int kLargest = max_geometry<Rule>();
  const int64_t width = pairs.num_features;
  for (int64_t p = 0; p < pairs.count; ++p) {
    Vector<T> filter[Rule::kFilters], tangent[Rule::kFilters], grad_filter[Rule::kFilters], angular[kLargest + 1];
    unroll<Rule::kFilters>([&](auto k) {
      filter[k] = load<T, tail>(given.filters + p * given.stride + k * width, count);
      tangent[k] = load<T, tail>(given.filters_tangent + p * given.tangent_stride + k * width, count);
      grad_filter[k] = Vector<T>{};
    });
    unroll<kLargest + 1>([&](auto c) { angular[c] = Vector<T>{}; });
    for (int direction = 0; direction < 2; ++direction) {
      const int64_t i = direction ? pairs.second[p] : pairs.first[p], j = direction ? pairs.first[p] : pairs.second[p];
      const int64_t at_source = j * Rule::kSources * width, at_grad = i * Rule::kOuts * width;
      const T *row = given.source + at_source, *row_tangent = given.source_tangent + at_source, *grad_row = given.grad + at_grad;
      T *to = grad_source + at_source, *to_grad = grad_grad + at_grad;
      T y[kGeometric], y_tangent[kGeometric];
      seen_from<kLargest>(direction, pairs.geometry + p * kLargest, y);
      seen_from<kLargest>(direction, given.geometry_tangent + p * kLargest, y_tangent);
      unroll<kNumPaths<Rule>>([&](auto n) {
        constexpr Path path = Rule::kPaths[n];
        const Vector<T> gradient = load<T, tail>(grad_row + path.out * width, count);
        const Vector<T> from = load<T, tail>(row + path.source * width, count);
        const Vector<T> from_tangent = load<T, tail>(row_tangent + path.source * width, count);
        const Vector<T> varied = tangent[path.filter] * from + filter[path.filter] * from_tangent;
        if constexpr (path.geometry == 0) {
          grad_filter[path.filter] += gradient * from_tangent;
          add_to<T, tail>(to + path.source * width, gradient * tangent[path.filter], count);
          add_to<T, tail>(to_grad + path.out * width, varied, count);
        } else {
          const T s = y[path.geometry], t = y_tangent[path.geometry];
          grad_filter[path.filter] += gradient * (s * from_tangent + t * from);
          add_to<T, tail>(to + path.source * width, gradient * (s * tangent[path.filter] + t * filter[path.filter]), count);
          add_to<T, tail>(to_grad + path.out * width, s * varied + t * (filter[path.filter] * from), count);
          const Vector<T> slope = gradient * varied;
          angular[path.geometry] += direction && path.geometry < 4 ? -slope : slope;
        }
      });
    }
    unroll<Rule::kFilters>([&](auto k) {
      store<T, tail>(grad_filters + (p * Rule::kFilters + k) * width, grad_filter[k], count);
    });
    unroll<kLargest>([&](auto c) { grad_geometry[p * kLargest + c] = sum_of_lanes<T>(angular[c + 1]); });
  }
}

// Calls ``function(first feature, number of features, tail, block)`` for every block of features, shared among threads.
template <class T, class Function>
void for_blocks(int64_t num_features, Function&& function) {
  constexpr int kLanes = Simd<T>::kLanes;
  at::parallel_for(0, (num_features + kLanes - 1) / kLanes, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = block * kLanes, count = std::min<int64_t>(kLanes, num_features - first);
      if (count == kLanes) function(first, kLanes, std::false_type{}, block);
      else function(first, int(count), std::true_type{}, block);
    }
  });
}

template <class Rule, class T>
Pairs<T> pairs_of(const Tensor& source, const Tensor& filters, const Tensor& geometry, const Tensor& pairs) {
  const int64_t num_pairs = pairs.size(1), num_features = source.size(2);
  TORCH_CHECK(source.size(1) == Rule::kSources && filters.size(0) == num_pairs && filters.size(1) == Rule::kFilters &&
                  filters.size(2) == num_features && geometry.size(0) == num_pairs && geometry.size(1) == max_geometry<Rule>(),
              "mlff: sources ", source.sizes(), ", filters ", filters.sizes(), " and polynomials ", geometry.sizes(),
              " do not fit the rule and ", num_pairs, " pairs");
  TORCH_CHECK(source.is_contiguous() && geometry.is_contiguous() && pairs.is_contiguous(), "mlff: tensors must be contiguous");
  const int64_t* atoms = pairs.const_data_ptr<int64_t>();
  return {atoms, atoms + num_pairs, geometry.const_data_ptr<T>(), num_pairs, num_features};
}

// Filters may be a slice of those of all layers: rows apart by more than their length.
inline Tensor with_rows(const Tensor& filters) {
  const bool rows = filters.stride(2) == 1 && filters.stride(1) == filters.size(2);
  return rows || !filters.numel() ? filters : filters.contiguous();
}

template <class T>
int64_t num_blocks(int64_t num_features) {
  return (num_features + Simd<T>::kLanes - 1) / Simd<T>::kLanes;
}

template <class Rule, class T>
Tensor messages_with(const Tensor& source, const Tensor& filters, const Tensor& geometry, const Tensor& pairs) {
  const Pairs<T> known = pairs_of<Rule, T>(source, filters, geometry, pairs);
  Tensor out = at::zeros({source.size(0), Rule::kOuts, known.num_features}, source.options());
  const T *from = source.const_data_ptr<T>(), *factors = filters.const_data_ptr<T>();
  T* to = out.mutable_data_ptr<T>();
  for_blocks<T>(known.num_features, [&](int64_t first, int count, auto tail, int64_t) {
    messages_block<Rule, T, tail>(known, from + first, factors + first, filters.stride(0), to + first, count);
  });
  return out;
}

template <class Rule, class T>
std::tuple<Tensor, Tensor, Tensor> messages_backward_with(const Tensor& grad, const Tensor& source, const Tensor& filters,
                                                          const Tensor& geometry, const Tensor& pairs) {
  const Pairs<T> known = pairs_of<Rule, T>(source, filters, geometry, pairs);
  Tensor grad_source = at::zeros(source.sizes(), source.options());
  Tensor grad_filters = at::empty(filters.sizes(), source.options());
  Tensor parts = at::empty({num_blocks<T>(known.num_features), known.count, geometry.size(1)}, source.options());
  const T *given = grad.const_data_ptr<T>(), *from = source.const_data_ptr<T>(), *factors = filters.const_data_ptr<T>();
  T *to = grad_source.mutable_data_ptr<T>(), *to_filters = grad_filters.mutable_data_ptr<T>(), *part = parts.mutable_data_ptr<T>();
  for_blocks<T>(known.num_features, [&](int64_t first, int count, auto tail, int64_t block) {
    messages_backward_block<Rule, T, tail>(known, given + first, from + first, factors + first, filters.stride(0), to + first,
                                           to_filters + first, part + block * known.count * geometry.size(1), count);
  });
  return {grad_source, grad_filters, parts.sum(0)};
}

template <class Rule, class T>
std::tuple<Tensor, Tensor, Tensor, Tensor> messages_backward_backward_with(
    const Tensor& source_tangent, const Tensor& filters_tangent, const Tensor& geometry_tangent, const Tensor& grad,
    const Tensor& source, const Tensor& filters, const Tensor& geometry, const Tensor& pairs) {
  const Pairs<T> known = pairs_of<Rule, T>(source, filters, geometry, pairs);
  Tensor grad_grad = at::zeros(grad.sizes(), grad.options());
  Tensor grad_source = at::zeros(source.sizes(), source.options());
  Tensor grad_filters = at::empty(filters.sizes(), source.options());
  Tensor parts = at::empty({num_blocks<T>(known.num_features), known.count, geometry.size(1)}, source.options());
  T *to_grad = grad_grad.mutable_data_ptr<T>(), *to = grad_source.mutable_data_ptr<T>();
  T *to_filters = grad_filters.mutable_data_ptr<T>(), *part = parts.mutable_data_ptr<T>();
  for_blocks<T>(known.num_features, [&](int64_t first, int count, auto tail, int64_t block) {
    const Second<T> given = {grad.const_data_ptr<T>() + first, source.const_data_ptr<T>() + first,
                             filters.const_data_ptr<T>() + first, source_tangent.const_data_ptr<T>() + first,
                             filters_tangent.const_data_ptr<T>() + first, geometry_tangent.const_data_ptr<T>(),
                             filters.stride(0), filters_tangent.stride(0)};
    messages_backward_backward_block<Rule, T, tail>(known, given, to_grad + first, to + first, to_filters + first,
                                                    part + block * known.count * geometry.size(1), count);
  });
  return {grad_grad, grad_source, grad_filters, parts.sum(0)};
}

}  // namespace
