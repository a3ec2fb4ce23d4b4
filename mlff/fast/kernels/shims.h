// The operators as C functions, which compiled programs call without torch's dispatcher: a microsecond or two a call less.
// mlff/fast/ops.py has the same declarations for the compiler of programs.

#pragma once

#include <torch/csrc/inductor/aoti_torch/utils.h>

namespace {

inline const Tensor& tensor_of(AtenTensorHandle handle) {
  return *torch::aot_inductor::tensor_handle_to_tensor_pointer(handle);
}
inline AtenTensorHandle handle_of(Tensor&& tensor) { return torch::aot_inductor::new_tensor_handle(std::move(tensor)); }
inline void handles_of(std::tuple<Tensor, Tensor>&& tensors, AtenTensorHandle* first, AtenTensorHandle* second) {
  *first = handle_of(std::move(std::get<0>(tensors)));
  *second = handle_of(std::move(std::get<1>(tensors)));
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
    *out = handle_of(product(tensor_of(a), tensor_of(b), start ? std::make_optional(tensor_of(*start)) : std::nullopt));
  });
}

}
