// A matrix product with a transposed second factor, by oneDNN, as an XLA custom call.

#include <algorithm>
#include <cstdint>
#include <stdexcept>

#include "dnnl.hpp"
#include "tasks.h"

namespace spectjax {
namespace {

using Matrix = ffi::BufferR2<ffi::F32>;

// y = a b', for a (m, k), b (n, k) and y (m, n); each task has some rows of b.
ffi::Error multiply_transposed(ffi::ThreadPool pool, Matrix a, Matrix b,
                               ffi::Result<Matrix> y) {
  int64_t m = a.dimensions()[0], k = a.dimensions()[1], n = b.dimensions()[0];
  int64_t parts = std::max<int64_t>(
      1, std::min<int64_t>(pool.num_threads(), n * k / 65536));
  return report([&] {
    run_tasks(pool, parts, [&](int64_t part) {
      int64_t start = part * n / parts, stop = (part + 1) * n / parts;
      OneThread one;
      auto status = dnnl::sgemm('N', 'T', m, stop - start, k, 1.0f, a.typed_data(), k,
                                b.typed_data() + start * k, k, 0.0f,
                                y->typed_data() + start, n);
      if (status != dnnl::status::success) throw std::runtime_error("sgemm failed");
    });
  });
}

}  // namespace
}  // namespace spectjax

XLA_FFI_DEFINE_HANDLER_SYMBOL(spectjax_multiply_transposed,
                              spectjax::multiply_transposed,
                              spectjax::ffi::Ffi::Bind()
                                  .Ctx<spectjax::ffi::ThreadPool>()
                                  .Arg<spectjax::Matrix>()
                                  .Arg<spectjax::Matrix>()
                                  .Ret<spectjax::Matrix>());
