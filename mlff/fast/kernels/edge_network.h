// EGNN's edge network for molecular dynamics: torch operators "mlff::edge_network" and its gradient, weights frozen.
//
// With s the SiLU, of an edge from centre i to neighbour j at distance r, moved to the squared distance d,
//
//     x = of_centre[i] + of_neighbor[j] + table(r) + d w_d        the first linear layer, split into its parts
//     y = s(x) M + m;    message = g s(y),   g = sigmoid(s(y) . w_g + b_g)  or 1
//     z = message S + b_s;    coefficient = s(z) . w_s
//
//     gathered[i] = sum over edges of  envelope message
//
// 48 edges go through all of it at a time and stay in the second-level cache; y and z are written down for the gradient, x and
// every function of y and z are computed again. Products are those of products.h, tables those of neighbor_sum.h.

#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <tuple>
#include <vector>

#include "buffers.h"
#include "neighbor_sum.h"
#include "products.h"
#include "simd.h"

namespace {

constexpr int64_t kTile = 48;  // edges, the rows of a product

// The tensors of the network; `gate` and `shift_weights` are null where a layer has none.
template <class T>
struct EdgeNetwork {
  const T *of_centre, *of_neighbor, *squared, *envelope, *basis;
  const int64_t* centres;
  const int32_t* neighbors;
  const Vector<T>* table;
  const T* squared_weights;                          // [F]
  const T *message_weights, *message_bias;           // [2, F, F]: transposed, and as a linear layer has them
  const T *gate, *gate_bias;                         // [F], [1]
  const T *shift_weights, *shift_bias, *shift_last;  // [2, F, F], [F], [F]
  int64_t num_atoms, num_edges, width, num_coefficients;

  const T* transposed(const T* weights) const { return weights; }
  const T* stored(const T* weights) const { return weights + width * width; }
};

// Some edges, each a row.
template <class T>
struct Tile {
  const EdgeNetwork<T>& network;
  int64_t begin, rows;

  int64_t edge(int64_t row) const { return begin + row; }
  int64_t centre(int64_t row) const { return network.centres[begin + row]; }
  int64_t neighbor(int64_t row) const { return network.neighbors[begin + row]; }

  // Register by register, the numbers of a row: function(first, count, tail).
  template <class Function>
  void registers(Function&& function) const {
    constexpr int64_t kLanes = Simd<T>::kLanes;
    int64_t f = 0;
    for (; f + kLanes <= network.width; f += kLanes) function(f, int(kLanes), std::false_type{});
    if (f < network.width) function(f, int(network.width - f), std::true_type{});
  }

  void multiply(const T* rows_of_a, const T* weights, const T* start, T* out) const {
    const int64_t width = network.width;
    product_rows<T>({rows_of_a, width, 1}, {weights, width, 1}, {start, 0, 1}, out, rows, width, width);
  }

  // x of a row, register by register: function(x, rows of the table, first, count, tail).
  template <class Function>
  void first_layer(int64_t row, Function&& function) const {
    const int64_t width = network.width;
    const T *a = network.of_centre + centre(row) * width, *b = network.of_neighbor + neighbor(row) * width;
    const T *basis = network.basis + kBasis * edge(row), squared = network.squared[edge(row)];
    const Vector<T>* coefficients = network.table + int64_t(basis[0]);
    registers([&](int64_t f, int number, auto tail) {
      constexpr bool cut = decltype(tail)::value;
      Vector<T> x = load<T, cut>(a + f, number) + load<T, cut>(b + f, number);
      x += squared * load<T, cut>(network.squared_weights + f, number);
      unroll<kPoints>([&](auto m) { x += basis[1 + m] * coefficients[m]; });
      function(x, coefficients, f, number, tail);
      coefficients += network.num_coefficients;
    });
  }

  // g of a row whose s(y) is given.
  T gate_of(const T* activated) const {
    if (!network.gate) return T(1);
    Vector<T> sum{};
    registers([&](int64_t f, int number, auto tail) {
      constexpr bool cut = decltype(tail)::value;
      sum += load<T, cut>(network.gate + f, number) * load<T, cut>(activated + f, number);
    });
    return T(1) / (T(1) + std::exp(-(sum_of_lanes<T>(sum) + network.gate_bias[0])));
  }
};

template <class T>
void edge_network_tile(const Tile<T>& tile, T* y, T* z, T* gathered, T* coefficients, T* scratch) {
  const EdgeNetwork<T>& network = tile.network;
  const int64_t width = network.width, rows = tile.rows;
  for (int64_t row = 0; row < rows; ++row) {
    tile.first_layer(row, [&](Vector<T> x, const Vector<T>*, int64_t f, int number, auto tail) {
      store<T, decltype(tail)::value>(scratch + row * width + f, x * sigmoid<T>(x), number);
    });
  }
  T* of_tile = y + tile.begin * width;
  tile.multiply(scratch, network.transposed(network.message_weights), network.message_bias, of_tile);
  for (int64_t row = 0; row < rows; ++row) {
    T* message = scratch + row * width;
    tile.registers([&](int64_t f, int number, auto tail) {
      constexpr bool cut = decltype(tail)::value;
      const Vector<T> value = load<T, cut>(of_tile + row * width + f, number);
      store<T, cut>(message + f, value * sigmoid<T>(value), number);
    });
    const T gate = tile.gate_of(message), envelope = network.envelope[tile.edge(row)];
    T* sum = gathered + tile.centre(row) * width;
    tile.registers([&](int64_t f, int number, auto tail) {
      constexpr bool cut = decltype(tail)::value;
      const Vector<T> value = gate * load<T, cut>(message + f, number);
      store<T, cut>(message + f, value, number);
      store<T, cut>(sum + f, load<T, cut>(sum + f, number) + envelope * value, number);
    });
  }
  if (!network.shift_weights) return;
  of_tile = z + tile.begin * width;
  tile.multiply(scratch, network.transposed(network.shift_weights), network.shift_bias, of_tile);
  for (int64_t row = 0; row < rows; ++row) {
    Vector<T> sum{};
    tile.registers([&](int64_t f, int number, auto tail) {
      constexpr bool cut = decltype(tail)::value;
      const Vector<T> value = load<T, cut>(of_tile + row * width + f, number);
      sum += load<T, cut>(network.shift_last + f, number) * (value * sigmoid<T>(value));
    });
    coefficients[tile.edge(row)] = sum_of_lanes<T>(sum);
  }
}

template <class T>
struct EdgeGradients {
  T *of_centre, *of_neighbor, *squared, *envelope, *vectors;
};

template <class T>
inline Vector<T> silu_slope(Vector<T> x) {
  const Vector<T> s = sigmoid<T>(x);
  return s * (T(1) + x * (T(1) - s));
}

template <class T>
void edge_network_backward_tile(const Tile<T>& tile, const T* grad_gathered, const T* grad_coefficients, const T* y, const T* z,
                                const EdgeGradients<T>& to, T* scratch) {
  const EdgeNetwork<T>& network = tile.network;
  const int64_t width = network.width, rows = tile.rows;
  const T *of_y = y + tile.begin * width, *of_z = z + tile.begin * width;
  T *left = scratch, *right = scratch + kTile * width, *activated = right + kTile * width;
  if (network.shift_weights) {
    for (int64_t row = 0; row < rows; ++row) {
      const T slope = grad_coefficients[tile.edge(row)];
      tile.registers([&](int64_t f, int number, auto tail) {
        constexpr bool cut = decltype(tail)::value;
        const Vector<T> value = load<T, cut>(of_z + row * width + f, number);
        const Vector<T> last = load<T, cut>(network.shift_last + f, number);
        store<T, cut>(left + row * width + f, slope * last * silu_slope<T>(value), number);
      });
    }
    tile.multiply(left, network.stored(network.shift_weights), nullptr, right);
  }
  for (int64_t row = 0; row < rows; ++row) {
    const T* of_row = of_y + row * width;
    const T* gradient = grad_gathered + tile.centre(row) * width;
    const T envelope = network.envelope[tile.edge(row)];
    T *grad_y = left + row * width, *of_message = right + row * width;
    Vector<T> envelope_sum{}, gate_sum{};
    tile.registers([&](int64_t f, int number, auto tail) {  // s(y), the gradient of the message, and s'(y)
      constexpr bool cut = decltype(tail)::value;
      const Vector<T> value = load<T, cut>(of_row + f, number), s = sigmoid<T>(value), silu = value * s;
      const Vector<T> of_sum = load<T, cut>(gradient + f, number);
      Vector<T> total = envelope * of_sum;
      if (network.shift_weights) total += load<T, cut>(of_message + f, number);
      envelope_sum += of_sum * silu;
      gate_sum += total * silu;
      store<T, cut>(activated + f, silu, number);
      store<T, cut>(of_message + f, total, number);
      store<T, cut>(grad_y + f, s * (T(1) + value * (T(1) - s)), number);
    });
    const T gate = tile.gate_of(activated);
    const T of_gate = sum_of_lanes<T>(gate_sum) * gate * (T(1) - gate);
    to.envelope[tile.edge(row)] = gate * sum_of_lanes<T>(envelope_sum);
    tile.registers([&](int64_t f, int number, auto tail) {
      constexpr bool cut = decltype(tail)::value;
      Vector<T> total = gate * load<T, cut>(of_message + f, number);
      if (network.gate) total += of_gate * load<T, cut>(network.gate + f, number);
      store<T, cut>(grad_y + f, total * load<T, cut>(grad_y + f, number), number);
    });
  }
  tile.multiply(left, network.stored(network.message_weights), nullptr, right);
  for (int64_t row = 0; row < rows; ++row) {
    T *of_centre = to.of_centre + tile.centre(row) * width, *of_neighbor = to.of_neighbor + tile.neighbor(row) * width;
    const T* basis = network.basis + kBasis * tile.edge(row);
    Vector<T> squared{}, radial{};
    tile.first_layer(row, [&](Vector<T> x, const Vector<T>* coefficients, int64_t f, int number, auto tail) {
      constexpr bool cut = decltype(tail)::value;
      const Vector<T> value = load<T, cut>(right + row * width + f, number) * silu_slope<T>(x);
      store<T, cut>(of_centre + f, load<T, cut>(of_centre + f, number) + value, number);
      store<T, cut>(of_neighbor + f, load<T, cut>(of_neighbor + f, number) + value, number);
      squared += value * load<T, cut>(network.squared_weights + f, number);
      Vector<T> slope = basis[7] * coefficients[0];
      unroll<kPoints - 1>([&](auto m) { slope += basis[8 + m] * coefficients[1 + m]; });
      radial += value * slope;
    });
    to.squared[tile.edge(row)] = sum_of_lanes<T>(squared);
    const T along = sum_of_lanes<T>(radial);
    for (int axis = 0; axis < 3; ++axis) to.vectors[3 * tile.edge(row) + axis] = along * basis[13 + axis];
  }
}

// Calls function(tile, share, scratch) for all tiles; tiles of one share run in one thread, one after the other.
template <class T, class Function>
void for_tiles(const EdgeNetwork<T>& network, int64_t shares, int64_t scratch_rows, Function&& function) {
  const int64_t num_tiles = (network.num_edges + kTile - 1) / kTile;
  at::parallel_for(0, shares, 1, [&](int64_t first_share, int64_t last_share) {
    std::vector<T> scratch(scratch_rows * network.width);
    for (int64_t share = first_share; share < last_share; ++share) {
      for (int64_t tile = num_tiles * share / shares; tile < num_tiles * (share + 1) / shares; ++tile) {
        const int64_t begin = tile * kTile;
        function(Tile<T>{network, begin, std::min(kTile, network.num_edges - begin)}, share, scratch.data());
      }
    }
  });
}

inline int64_t num_shares(int64_t num_edges) {
  return std::clamp<int64_t>(num_edges / (4 * kTile), 1, at::get_num_threads());
}

struct EdgeNetworkTensors {
  const Tensor &of_centre, &of_neighbor, &squared, &envelope, &vectors, &basis, &centres, &neighbors, &table,
      &squared_weights, &message_weights, &message_bias;
  const std::optional<Tensor>&gate, &gate_bias, &shift_weights, &shift_bias, &shift_last;

  template <class T>
  EdgeNetwork<T> of() const {
    const int64_t num_edges = neighbors.size(0), width = of_centre.size(1);
    const auto pointer = [](const Tensor& tensor) {
      TORCH_CHECK(tensor.is_contiguous(), "mlff: tensors of an edge network must be contiguous");
      return tensor.const_data_ptr<T>();
    };
    const auto optional = [&](const std::optional<Tensor>& tensor) { return tensor ? pointer(*tensor) : nullptr; };
    TORCH_CHECK(squared.numel() == num_edges && envelope.numel() == num_edges && centres.size(0) == num_edges &&
                    basis.size(0) == num_edges && message_weights.numel() == 2 * width * width,
                "mlff: tensors of an edge network do not fit ", num_edges, " edges and ", width, " features");
    return {pointer(of_centre), pointer(of_neighbor), pointer(squared), pointer(envelope), pointer(basis),
            centres.const_data_ptr<int64_t>(), neighbors.const_data_ptr<int32_t>(),
            reinterpret_cast<const Vector<T>*>(pointer(table)), pointer(squared_weights), pointer(message_weights),
            pointer(message_bias), optional(gate), optional(gate_bias), optional(shift_weights), optional(shift_bias),
            optional(shift_last), of_centre.size(0), num_edges, width, table.size(1)};
  }
};

// The sum over the shares' own copies.
inline Tensor sum_of_shares(const Tensor& copies) { return copies.size(0) == 1 ? copies.select(0, 0) : copies.sum(0); }

template <class T>
std::tuple<Tensor, Tensor, Tensor, Tensor> edge_network_of(const EdgeNetworkTensors& tensors) {
  const EdgeNetwork<T> network = tensors.of<T>();
  const auto options = tensors.of_centre.options();
  const int64_t shares = num_shares(network.num_edges), shifted = network.shift_weights ? network.num_edges : 0;
  Tensor gathered = at::zeros({shares, network.num_atoms, network.width}, options);
  Tensor coefficients = at::empty({shifted}, options);
  Tensor y = kept_buffer({network.num_edges, network.width}, options), z = kept_buffer({shifted, network.width}, options);
  T *sums = gathered.mutable_data_ptr<T>(), *of_edges = coefficients.mutable_data_ptr<T>();
  T *all_y = y.mutable_data_ptr<T>(), *all_z = z.mutable_data_ptr<T>();
  for_tiles(network, shares, kTile, [&](const Tile<T>& tile, int64_t share, T* scratch) {
    edge_network_tile(tile, all_y, all_z, sums + share * network.num_atoms * network.width, of_edges, scratch);
  });
  return {sum_of_shares(gathered), coefficients, y, z};
}

template <class T>
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> edge_network_backward_of(const Tensor& grad_gathered,
                                                                            const Tensor& grad_coefficients, const Tensor& y,
                                                                            const Tensor& z, const EdgeNetworkTensors& tensors) {
  const EdgeNetwork<T> network = tensors.of<T>();
  const auto options = tensors.of_centre.options();
  const int64_t shares = num_shares(network.num_edges), atoms = network.num_atoms * network.width;
  Tensor of_atoms = at::zeros({shares, 2, network.num_atoms, network.width}, options);
  Tensor squared = at::empty({network.num_edges}, options), envelope = at::empty({network.num_edges}, options);
  Tensor vectors = at::empty({network.num_edges, 3}, options);
  T* sums = of_atoms.mutable_data_ptr<T>();
  const EdgeGradients<T> to = {nullptr, nullptr, squared.mutable_data_ptr<T>(), envelope.mutable_data_ptr<T>(),
                               vectors.mutable_data_ptr<T>()};
  const T *of_gathered = grad_gathered.const_data_ptr<T>(), *of_coefficients = grad_coefficients.const_data_ptr<T>();
  const T *all_y = y.const_data_ptr<T>(), *all_z = z.const_data_ptr<T>();
  for_tiles(network, shares, 2 * kTile + 1, [&](const Tile<T>& tile, int64_t share, T* scratch) {
    T* own = sums + share * 2 * atoms;
    edge_network_backward_tile(tile, of_gathered, of_coefficients, all_y, all_z,
                               {own, own + atoms, to.squared, to.envelope, to.vectors}, scratch);
  });
  const Tensor summed = sum_of_shares(of_atoms);
  return {summed.select(0, 0), summed.select(0, 1), squared, envelope, vectors};
}

}  // namespace
