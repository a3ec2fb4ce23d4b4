// Edges of a structure with their spline weights, and from the gradient in the edges to forces; rows added to rows.

#pragma once

#include "neighbor_sum.h"

namespace {

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

}  // namespace
