// Matrix products of a few hundred columns, as node and edge networks have: out = a b + start, accumulated in registers.
//
// MKL, which torch multiplies with, leaves half of an AVX-512 processor of another maker idle, and packs its operands anew for
// every product. Here a block of 6 rows and 4 registers of columns stays in registers while the rows of b pass by; b is read
// where it lies, or, where it lies transposed (weights of a linear layer), copied panel by panel into the first-level cache.
// Where registers are shorter, products are torch's.

#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>

#include <algorithm>
#include <vector>

#include "simd.h"

namespace {

using at::Tensor;

#ifdef __AVX512F__
constexpr bool kOwnProducts = true;
#else
constexpr bool kOwnProducts = false;
#endif

constexpr int kRows = 6, kColumns = 4;  // 24 of 32 registers hold sums
constexpr int64_t kDepth = 256;         // rows of b that pass before sums are stored: a panel of them is 64 kB
constexpr int64_t kSmallestWidth = 8;   // columns below which torch's products are as fast
constexpr int64_t kOperations = 1 << 18;  // multiplications that are worth a thread

template <class T>
struct Matrix {
  T* data;
  int64_t row, column;  // steps from a row to the next, and from a column
};

template <int rows, int columns, class T, bool tail>
inline void product_block(const Matrix<const T>& a, const Matrix<const T>& b, int64_t depth, T* out, int64_t out_row,
                          const T* start, int64_t start_row, int last) {
  constexpr int kLanes = Simd<T>::kLanes;
  Vector<T> sum[rows][columns];
  unroll<rows>([&](auto r) {
    unroll<columns>([&](auto c) {
      constexpr bool cut = tail && c == columns - 1;
      sum[r][c] = start ? load<T, cut>(start + r * start_row + c * kLanes, last) : Vector<T>{};
    });
  });
  for (int64_t k = 0; k < depth; ++k) {
    Vector<T> row[columns];
    unroll<columns>([&](auto c) {
      constexpr bool cut = tail && c == columns - 1;
      row[c] = load<T, cut>(b.data + k * b.row + c * kLanes, last);
    });
    unroll<rows>([&](auto r) {
      const T factor = a.data[r * a.row + k * a.column];
      unroll<columns>([&](auto c) { sum[r][c] += factor * row[c]; });
    });
  }
  unroll<rows>([&](auto r) {
    unroll<columns>([&](auto c) {
      constexpr bool cut = tail && c == columns - 1;
      store<T, cut>(out + r * out_row + c * kLanes, sum[r][c], last);
    });
  });
}

// A panel of `columns` registers, the last of `last` numbers, for all rows of a.
template <int columns, class T, bool tail>
void product_panel(Matrix<const T> a, const Matrix<const T>& b, int64_t num_rows, int64_t depth, T* out, int64_t out_row,
                   const T* start, int64_t start_row, int last) {
  const auto advance = [&](int64_t rows) {
    a.data += rows * a.row, out += rows * out_row, num_rows -= rows;
    if (start) start += rows * start_row;
  };
  for (; num_rows >= kRows; advance(kRows)) {
    product_block<kRows, columns, T, tail>(a, b, depth, out, out_row, start, start_row, last);
  }
  for (; num_rows >= 2; advance(2)) product_block<2, columns, T, tail>(a, b, depth, out, out_row, start, start_row, last);
  for (; num_rows >= 1; advance(1)) product_block<1, columns, T, tail>(a, b, depth, out, out_row, start, start_row, last);
}

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define MLFF_EXCHANGES
#endif
#endif

#ifdef MLFF_EXCHANGES
// The transpose of a block of 64 bytes times as many rows, in log2(lanes) rounds of exchanges.
template <class T>
inline void transpose_block(const T* from, int64_t from_row, T* to, int64_t to_row) {
  constexpr int kLanes = Simd<T>::kLanes;
  Vector<T> row[kLanes], next[kLanes];
  unroll<kLanes>([&](auto r) { row[r] = load<T, false>(from + r * from_row, kLanes); });
  const auto exchange = [&](auto half) {  // between rows r and r + half, in groups of half numbers
    unroll<kLanes>([&](auto r) {
      constexpr int h = half, low = r & ~h, high = r | h;
      next[r] = [&]<std::size_t... l>(std::index_sequence<l...>) {
        if constexpr ((r & h) == 0) {
          return __builtin_shufflevector(row[low], row[high], ((l & h) == 0 ? int(l) : kLanes + int(l) - h)...);
        } else {
          return __builtin_shufflevector(row[low], row[high], ((l & h) == 0 ? int(l) + h : kLanes + int(l))...);
        }
      }(std::make_index_sequence<kLanes>{});
    });
    unroll<kLanes>([&](auto r) { row[r] = next[r]; });
  };
  exchange(std::integral_constant<int, 1>{});
  exchange(std::integral_constant<int, 2>{});
  exchange(std::integral_constant<int, 4>{});
  if constexpr (kLanes == 16) exchange(std::integral_constant<int, 8>{});
  unroll<kLanes>([&](auto r) { store<T, false>(to + r * to_row, row[r], kLanes); });
}
#endif

// `depth` rows of `width` columns of b into rows of kColumns registers.
template <class T>
void pack_panel(const Matrix<const T>& b, int64_t depth, int64_t width, T* panel) {
  constexpr int kLanes = Simd<T>::kLanes;
  constexpr int64_t panel_row = kColumns * kLanes;
  int64_t whole_depth = 0, whole_width = 0;
#ifdef MLFF_EXCHANGES
  if (b.row == 1) whole_depth = depth / kLanes * kLanes, whole_width = width / kLanes * kLanes;
  for (int64_t k = 0; k < whole_depth; k += kLanes) {
    for (int64_t n = 0; n < whole_width; n += kLanes) {
      transpose_block<T>(b.data + n * b.column + k, b.column, panel + k * panel_row + n, panel_row);
    }
  }
#endif
  for (int64_t k = 0; k < depth; ++k) {
    for (int64_t n = k < whole_depth ? whole_width : 0; n < width; ++n) {
      panel[k * panel_row + n] = b.data[k * b.row + n * b.column];
    }
  }
}

template <class T>
void product_rows(Matrix<const T> a, const Matrix<const T>& b, Matrix<const T> start, T* out, int64_t num_rows, int64_t depth,
                  int64_t num_columns) {
  constexpr int64_t kLanes = Simd<T>::kLanes, kWidth = kColumns * kLanes;
  std::vector<T> panel(b.column == 1 ? 0 : std::min(depth, kDepth) * kWidth);
  for (int64_t k = 0; k < depth; k += kDepth) {
    const int64_t some = std::min(kDepth, depth - k);
    const Matrix<const T> left{a.data + k * a.column, a.row, a.column};
    for (int64_t n = 0; n < num_columns; n += kWidth) {
      const int64_t width = std::min(kWidth, num_columns - n);
      const int columns = int((width + kLanes - 1) / kLanes), last = int(width - (columns - 1) * kLanes);
      Matrix<const T> right{b.data + k * b.row + n * b.column, b.row, b.column};
      if (b.column != 1) {
        pack_panel<T>(right, some, width, panel.data());
        right = {panel.data(), kWidth, 1};
      }
      const T* from = k ? out + n : start.data ? start.data + n : nullptr;
      const int64_t from_row = k ? num_columns : start.row;
      const auto run = [&](auto count) {
        auto* with = last == kLanes ? &product_panel<count, T, false> : &product_panel<count, T, true>;
        with(left, right, num_rows, some, out + n, num_columns, from, from_row, last);
      };
      switch (columns) {
        case 1: run(std::integral_constant<int, 1>{}); break;
        case 2: run(std::integral_constant<int, 2>{}); break;
        case 3: run(std::integral_constant<int, 3>{}); break;
        default: run(std::integral_constant<int, 4>{});
      }
    }
  }
}

template <class T>
Tensor product_of(const Tensor& a, const Tensor& b, const Tensor& start) {
  const int64_t num_rows = a.size(0), depth = a.size(1), num_columns = b.size(1);
  Tensor out = at::empty({num_rows, num_columns}, a.options());
  const Matrix<const T> left{a.const_data_ptr<T>(), a.stride(0), a.stride(1)};
  const Matrix<const T> right{b.const_data_ptr<T>(), b.stride(0), b.stride(1)};
  const Matrix<const T> first{start.defined() ? start.const_data_ptr<T>() : nullptr,
                              start.defined() && start.dim() == 2 && start.size(0) > 1 ? start.stride(0) : 0, 1};
  T* to = out.mutable_data_ptr<T>();
  const int64_t grain = std::max<int64_t>(kRows, kOperations / std::max<int64_t>(1, depth * num_columns));
  at::parallel_for(0, num_rows, grain, [&](int64_t begin, int64_t end) {
    const Matrix<const T> rows{left.data + begin * left.row, left.row, left.column};
    const Matrix<const T> from{first.data ? first.data + begin * first.row : nullptr, first.row, 1};
    product_rows<T>(rows, right, from, to + begin * num_columns, end - begin, depth, num_columns);
  });
  return out;
}

}  // namespace
