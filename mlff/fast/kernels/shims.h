// The operators as C functions, which compiled programs call without torch's dispatcher: a microsecond or two a call less.
// mlff/fast/ops.py has the same declarations for the compiler of programs.

#pragma once

#include <torch/csrc/inductor/aoti_torch/utils.h>

namespace {

inline const Tensor& tensor_of(AtenTensorHandle handle) {
  return *torch::aot_inductor::tensor_handle_to_tensor_pointer(handle);
}
inline AtenTensorHandle handle_of(Tensor&& tensor) { return torch::aot_inductor::new_tensor_handle(std::move(tensor)); }
template <class Tensors, class... Handles>
void handles_of(Tensors&& tensors, Handles*... handles) {
  std::apply([&](auto&... tensor) { ((*handles = handle_of(std::move(tensor))), ...); }, tensors);
}
inline std::optional<Tensor> optional_of(const AtenTensorHandle* handle) {
  return handle ? std::make_optional(tensor_of(*handle)) : std::nullopt;
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu_neighbor_sum(AtenTensorHandle source, AtenTensorHandle vectors, AtenTensorHandle basis,
                                           AtenTensorHandle offsets, AtenTensorHandle neighbors, AtenTensorHandle table,
                                           int64_t rule, AtenTensorHandle* sums) {
  AOTI_TORCH_CONVERT_EXCEPTION_TO_ERROR_CODE({
    *sums = handle_of(neighbor_sum(tensor_of(source), tensor_of(vectors), tensor_of(basis), tensor_of(offsets),
                                   tensor_of(neighbors), tensor_of(table), rule));
  });
}

AOTITorchError aoti_torch_cpu_neighbor_sum_backward(AtenTensorHandle grad_out, AtenTensorHandle source,
                                                    AtenTensorHandle vectors, AtenTensorHandle basis,
                                                    AtenTensorHandle offsets, AtenTensorHandle neighbors,
                                                    AtenTensorHandle table, int64_t rule, AtenTensorHandle* grad_source,
                                                    AtenTensorHandle* grad_vectors) {
  AOTI_TORCH_CONVERT_EXCEPTION_TO_ERROR_CODE({
    handles_of(neighbor_sum_backward(tensor_of(grad_out), tensor_of(source), tensor_of(vectors), tensor_of(basis),
                                     tensor_of(offsets), tensor_of(neighbors), tensor_of(table), rule),
               grad_source, grad_vectors);
  });
}

AOTITorchError aoti_torch_cpu_edge_forces(AtenTensorHandle grad_vectors, AtenTensorHandle vectors, AtenTensorHandle offsets,
                                          AtenTensorHandle neighbors, AtenTensorHandle* forces, AtenTensorHandle* virial) {
  AOTI_TORCH_CONVERT_EXCEPTION_TO_ERROR_CODE({
    handles_of(edge_forces(tensor_of(grad_vectors), tensor_of(vectors), tensor_of(offsets), tensor_of(neighbors)), forces,
               virial);
  });
}

AOTITorchError aoti_torch_cpu_add_rows(AtenTensorHandle start, AtenTensorHandle index, AtenTensorHandle values,
                                       AtenTensorHandle* sums) {
  AOTI_TORCH_CONVERT_EXCEPTION_TO_ERROR_CODE(
      { *sums = handle_of(add_rows(tensor_of(start), tensor_of(index), tensor_of(values))); });
}

AOTITorchError aoti_torch_cpu_product(AtenTensorHandle a, AtenTensorHandle b, const AtenTensorHandle* start,
                                      AtenTensorHandle* out) {
  AOTI_TORCH_CONVERT_EXCEPTION_TO_ERROR_CODE({
    *out = handle_of(product(tensor_of(a), tensor_of(b), optional_of(start)));
  });
}


AOTITorchError aoti_torch_cpu_edge_centres(AtenTensorHandle offsets, AtenTensorHandle neighbors, AtenTensorHandle* centres) {
  AOTI_TORCH_CONVERT_EXCEPTION_TO_ERROR_CODE({ *centres = handle_of(edge_centres(tensor_of(offsets), tensor_of(neighbors))); });
}

AOTITorchError aoti_torch_cpu_edge_network(
    AtenTensorHandle of_centre, AtenTensorHandle of_neighbor, AtenTensorHandle squared, AtenTensorHandle envelope,
    AtenTensorHandle vectors, AtenTensorHandle basis, AtenTensorHandle centres, AtenTensorHandle neighbors,
    AtenTensorHandle table, AtenTensorHandle squared_weights, AtenTensorHandle message_weights,
    AtenTensorHandle message_bias, const AtenTensorHandle* gate, const AtenTensorHandle* gate_bias,
    const AtenTensorHandle* shift_weights, const AtenTensorHandle* shift_bias, const AtenTensorHandle* shift_last,
    AtenTensorHandle* gathered, AtenTensorHandle* coefficients, AtenTensorHandle* y, AtenTensorHandle* z) {
  AOTI_TORCH_CONVERT_EXCEPTION_TO_ERROR_CODE({
    auto results = edge_network(
        tensor_of(of_centre), tensor_of(of_neighbor), tensor_of(squared), tensor_of(envelope), tensor_of(vectors),
        tensor_of(basis), tensor_of(centres), tensor_of(neighbors), tensor_of(table), tensor_of(squared_weights),
        tensor_of(message_weights), tensor_of(message_bias), optional_of(gate), optional_of(gate_bias),
        optional_of(shift_weights), optional_of(shift_bias), optional_of(shift_last));
    handles_of(std::move(results), gathered, coefficients, y, z);
  });
}

AOTITorchError aoti_torch_cpu_edge_network_backward(
    AtenTensorHandle grad_gathered, AtenTensorHandle grad_coefficients, AtenTensorHandle y, AtenTensorHandle z,
    AtenTensorHandle of_centre, AtenTensorHandle of_neighbor, AtenTensorHandle squared, AtenTensorHandle envelope,
    AtenTensorHandle vectors, AtenTensorHandle basis, AtenTensorHandle centres, AtenTensorHandle neighbors,
    AtenTensorHandle table, AtenTensorHandle squared_weights, AtenTensorHandle message_weights,
    AtenTensorHandle message_bias, const AtenTensorHandle* gate, const AtenTensorHandle* gate_bias,
    const AtenTensorHandle* shift_weights, const AtenTensorHandle* shift_bias, const AtenTensorHandle* shift_last,
    AtenTensorHandle* grad_centre, AtenTensorHandle* grad_neighbor, AtenTensorHandle* grad_squared,
    AtenTensorHandle* grad_envelope, AtenTensorHandle* grad_vectors) {
  AOTI_TORCH_CONVERT_EXCEPTION_TO_ERROR_CODE({
    auto results = edge_network_backward(
        tensor_of(grad_gathered), tensor_of(grad_coefficients), tensor_of(y), tensor_of(z), tensor_of(of_centre),
        tensor_of(of_neighbor), tensor_of(squared), tensor_of(envelope), tensor_of(vectors), tensor_of(basis),
        tensor_of(centres), tensor_of(neighbors), tensor_of(table), tensor_of(squared_weights), tensor_of(message_weights),
        tensor_of(message_bias), optional_of(gate), optional_of(gate_bias), optional_of(shift_weights),
        optional_of(shift_bias), optional_of(shift_last));
    handles_of(std::move(results), grad_centre, grad_neighbor, grad_squared, grad_envelope, grad_vectors);
  });
}

}
