// The torch operators "mlff::...", on a CPU; mlff/fast/ops.py makes them differentiable.

#include <ATen/ops/clone.h>
#include <torch/library.h>

#include "edge_network.h"
#include "edges.h"
#include "messages.h"
#include "neighbor_sum.h"
#include "products.h"

namespace {

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

Tensor messages(const Tensor& source, const Tensor& filters, const Tensor& geometry, const Tensor& pairs, int64_t rule) {
  return with_rule(rule, source.scalar_type(), [&](auto chosen, auto zero) {
    return messages_with<decltype(chosen), decltype(zero)>(source.contiguous(), with_rows(filters), geometry.contiguous(),
                                                           pairs.contiguous());
  });
}

std::tuple<Tensor, Tensor, Tensor> messages_backward(const Tensor& grad, const Tensor& source, const Tensor& filters,
                                                     const Tensor& geometry, const Tensor& pairs, int64_t rule) {
  return with_rule(rule, source.scalar_type(), [&](auto chosen, auto zero) {
    return messages_backward_with<decltype(chosen), decltype(zero)>(grad.contiguous(), source.contiguous(), with_rows(filters),
                                                                    geometry.contiguous(), pairs.contiguous());
  });
}

std::tuple<Tensor, Tensor, Tensor, Tensor> messages_backward_backward(
    const Tensor& source_tangent, const Tensor& filters_tangent, const Tensor& geometry_tangent, const Tensor& grad,
    const Tensor& source, const Tensor& filters, const Tensor& geometry, const Tensor& pairs, int64_t rule) {
  return with_rule(rule, source.scalar_type(), [&](auto chosen, auto zero) {
    return messages_backward_backward_with<decltype(chosen), decltype(zero)>(
        source_tangent.contiguous(), with_rows(filters_tangent), geometry_tangent.contiguous(), grad.contiguous(),
        source.contiguous(), with_rows(filters), geometry.contiguous(), pairs.contiguous());
  });
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> near_edges(const Tensor& positions, const Tensor& offsets,
                                                              const Tensor& neighbors, const Tensor& translations,
                                                              double cutoff, double start, int64_t num_cells,
                                                              bool single_precision) {
  return single_precision
             ? near_edges_of<float>(positions, offsets, neighbors, translations, cutoff, start, num_cells, at::kFloat)
             : near_edges_of<double>(positions, offsets, neighbors, translations, cutoff, start, num_cells, at::kDouble);
}

std::tuple<Tensor, Tensor> edge_forces(const Tensor& grad_vectors, const Tensor& vectors, const Tensor& offsets,
                                       const Tensor& neighbors) {
  const Tensor gradient = grad_vectors.contiguous();
  return vectors.scalar_type() == at::kFloat ? forces_of<float>(gradient, vectors, offsets, neighbors)
                                             : forces_of<double>(gradient, vectors, offsets, neighbors);
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

// a b + start, where start is a row, a matrix, or nothing.
Tensor product(const Tensor& a, const Tensor& b, const std::optional<Tensor>& start) {
  const Tensor first = start.value_or(Tensor());
  const bool known = a.scalar_type() == at::kFloat || a.scalar_type() == at::kDouble;
  const bool plain = b.size(1) >= kSmallestWidth && a.size(1) > 0 && (!first.defined() || (first.size(-1) == b.size(1) && first.stride(-1) == 1));
  if (!kOwnProducts || !known || !plain) return first.defined() ? at::addmm(first, a, b) : at::mm(a, b);
  return a.scalar_type() == at::kFloat ? product_of<float>(a, b, first) : product_of<double>(a, b, first);
}

std::tuple<Tensor, Tensor, Tensor, Tensor> edge_network(
    const Tensor& of_centre, const Tensor& of_neighbor, const Tensor& squared, const Tensor& envelope,
    const Tensor& vectors, const Tensor& basis, const Tensor& centres, const Tensor& neighbors, const Tensor& table,
    const Tensor& squared_weights, const Tensor& message_weights, const Tensor& message_bias,
    const std::optional<Tensor>& gate, const std::optional<Tensor>& gate_bias, const std::optional<Tensor>& shift_weights,
    const std::optional<Tensor>& shift_bias, const std::optional<Tensor>& shift_last) {
  const EdgeNetworkTensors tensors = {of_centre, of_neighbor, squared, envelope, vectors, basis, centres, neighbors, table,
                                      squared_weights, message_weights, message_bias, gate, gate_bias, shift_weights,
                                      shift_bias, shift_last};
  return of_centre.scalar_type() == at::kFloat ? edge_network_of<float>(tensors) : edge_network_of<double>(tensors);
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> edge_network_backward(
    const Tensor& grad_gathered, const Tensor& grad_coefficients, const Tensor& y, const Tensor& z, const Tensor& of_centre,
    const Tensor& of_neighbor, const Tensor& squared, const Tensor& envelope, const Tensor& vectors, const Tensor& basis,
    const Tensor& centres, const Tensor& neighbors, const Tensor& table, const Tensor& squared_weights,
    const Tensor& message_weights, const Tensor& message_bias, const std::optional<Tensor>& gate,
    const std::optional<Tensor>& gate_bias, const std::optional<Tensor>& shift_weights,
    const std::optional<Tensor>& shift_bias, const std::optional<Tensor>& shift_last) {
  const EdgeNetworkTensors tensors = {of_centre, of_neighbor, squared, envelope, vectors, basis, centres, neighbors, table,
                                      squared_weights, message_weights, message_bias, gate, gate_bias, shift_weights,
                                      shift_bias, shift_last};
  return of_centre.scalar_type() == at::kFloat
             ? edge_network_backward_of<float>(grad_gathered.contiguous(), grad_coefficients.contiguous(), y, z, tensors)
             : edge_network_backward_of<double>(grad_gathered.contiguous(), grad_coefficients.contiguous(), y, z, tensors);
}

// The centre of every edge.
Tensor edge_centres(const Tensor& offsets, const Tensor& neighbors) {
  Tensor centres = at::empty({neighbors.size(0)}, offsets.options().dtype(at::kLong));
  const int32_t* first = offsets.const_data_ptr<int32_t>();
  int64_t* to = centres.mutable_data_ptr<int64_t>();
  for (int64_t i = 0; i + 1 < offsets.size(0); ++i) std::fill(to + first[i], to + first[i + 1], i);
  return centres;
}

}  // namespace

// Whether products here are those of products.h; elsewhere they are torch's, and kernels made of products are slower than it.
extern "C" bool mlff_own_products() { return kOwnProducts; }

#include "shims.h"

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
  library.def("messages(Tensor source, Tensor filters, Tensor geometry, Tensor pairs, int rule) -> Tensor");
  library.def(
      "messages_backward(Tensor grad, Tensor source, Tensor filters, Tensor geometry, Tensor pairs, int rule) "
      "-> (Tensor, Tensor, Tensor)");
  library.def(
      "messages_backward_backward(Tensor source_tangent, Tensor filters_tangent, Tensor geometry_tangent, Tensor grad, "
      "Tensor source, Tensor filters, Tensor geometry, Tensor pairs, int rule) -> (Tensor, Tensor, Tensor, Tensor)");
  library.def(
      "edge_network(Tensor of_centre, Tensor of_neighbor, Tensor squared, Tensor envelope, Tensor vectors, Tensor basis, "
      "Tensor centres, Tensor neighbors, Tensor table, Tensor squared_weights, Tensor message_weights, "
      "Tensor message_bias, Tensor? gate, Tensor? gate_bias, Tensor? shift_weights, Tensor? shift_bias, "
      "Tensor? shift_last) -> (Tensor, Tensor, Tensor, Tensor)");
  library.def(
      "edge_network_backward(Tensor grad_gathered, Tensor grad_coefficients, Tensor y, Tensor z, "
      "Tensor of_centre, Tensor of_neighbor, Tensor squared, Tensor envelope, Tensor vectors, Tensor basis, "
      "Tensor centres, Tensor neighbors, Tensor table, Tensor squared_weights, Tensor message_weights, "
      "Tensor message_bias, Tensor? gate, Tensor? gate_bias, Tensor? shift_weights, Tensor? shift_bias, "
      "Tensor? shift_last) "
      "-> (Tensor, Tensor, Tensor, Tensor, Tensor)");
  library.def("edge_centres(Tensor offsets, Tensor neighbors) -> Tensor");
  library.def("add_rows(Tensor start, Tensor index, Tensor values) -> Tensor");
  library.def("product(Tensor a, Tensor b, Tensor? start) -> Tensor");
  library.def("edge_forces(Tensor grad_vectors, Tensor vectors, Tensor offsets, Tensor neighbors) -> (Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(mlff, CPU, library) {
  library.impl("neighbor_sum", &neighbor_sum);
  library.impl("neighbor_sum_backward", &neighbor_sum_backward);
  library.impl("messages", &messages);
  library.impl("messages_backward", &messages_backward);
  library.impl("messages_backward_backward", &messages_backward_backward);
  library.impl("near_edges", &near_edges);
  library.impl("edge_network", &edge_network);
  library.impl("edge_network_backward", &edge_network_backward);
  library.impl("edge_centres", &edge_centres);
  library.impl("add_rows", &add_rows);
  library.impl("product", &product);
  library.impl("edge_forces", &edge_forces);
}
