// The sums over pixels that batch normalisation takes, as XLA custom calls. Arrays are
// dense, (..., channels), float32; each sum is one number for each channel.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tasks.h"

namespace spectjax {
namespace {

#ifdef __x86_64__
#define FOR_EACH_CPU __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_EACH_CPU
#endif

// Adds to `first` and `second`, of `width` numbers, which hold whole rows side by side:
// x - shift and its square.
FOR_EACH_CPU void add_powers(const float* x, int64_t steps, int64_t width,
                             const float* shift, float* __restrict first,
                             float* __restrict second) {
  for (int64_t i = 0; i < steps; ++i, x += width) {
    for (int64_t j = 0; j < width; ++j) {
      float difference = x[j] - shift[j];
      first[j] += difference;
      second[j] += difference * difference;
    }
  }
}

// The same for dy and dy * (x - shift), where (x - shift) * scale + bias is positive.
FOR_EACH_CPU void add_products(const float* dy, const float* x, int64_t steps,
                               int64_t width, const float* shift, const float* scale,
                               const float* bias, float* __restrict first,
                               float* __restrict second) {
  for (int64_t i = 0; i < steps; ++i, x += width, dy += width) {
    for (int64_t j = 0; j < width; ++j) {
      float difference = x[j] - shift[j], gradient = dy[j];
      float passed = difference * scale[j] + bias[j] > 0 ? gradient : 0.0f;
      first[j] += passed;
      second[j] += passed * difference;
    }
  }
}

using Sums = std::vector<double>;

// Returns both sums over rows, channel by channel: 2 * channels numbers. `add` handles
// `steps` times `width` numbers from row `row` on.
template <typename Add>
Sums sum_rows(ffi::ThreadPool& pool, int64_t rows, int64_t channels, const Add& add) {
  // Several rows at a time, for channels fewer than a vector holds.
  int64_t together = std::max<int64_t>(1, 64 / channels), width = together * channels;
  int64_t parts = std::max<int64_t>(
      1, std::min<int64_t>(pool.num_threads(), rows * channels / 65536));
  std::vector<Sums> partial(parts, Sums(2 * channels));
  run_tasks(pool, parts, [&](int64_t part) {
    int64_t row = part * rows / parts, stop = (part + 1) * rows / parts;
    // Floats add up a few numbers only; doubles add up these sums.
    constexpr int64_t few = 128;
    std::vector<float> sums(2 * width);
    auto fold = [&](int64_t numbers) {
      for (int64_t j = 0; j < numbers; ++j) {
        partial[part][j % channels] += sums[j];
        partial[part][channels + j % channels] += sums[width + j];
      }
      std::fill(sums.begin(), sums.end(), 0.0f);
    };
    while (row < stop) {
      int64_t steps = std::min(few, (stop - row) / together), used = width;
      // The last rows, too few to stand side by side.
      if (steps == 0) steps = 1, used = (stop - row) * channels;
      add(row, steps, used, sums.data(), sums.data() + width);
      fold(used);
      row += steps * used / channels;
    }
  });
  for (int64_t i = 1; i < parts; ++i)
    for (int64_t j = 0; j < 2 * channels; ++j) partial[0][j] += partial[i][j];
  return partial[0];
}

using Floats = ffi::Buffer<ffi::F32>;
using Vector = ffi::BufferR1<ffi::F32>;

std::vector<float> repeat(const float* values, int64_t channels) {
  std::vector<float> all(std::max<int64_t>(64, channels) + channels);
  for (size_t i = 0; i < all.size(); ++i) all[i] = values[i % channels];
  return all;
}

ffi::Error moments(ffi::ThreadPool pool, Floats x, ffi::Result<Vector> mean,
                   ffi::Result<Vector> variance) {
  int64_t channels = x.dimensions().back(), rows = x.element_count() / channels;
  const float* data = x.typed_data();
  // Differences from the first row keep their digits where the mean is large.
  return report([&] {
    auto shift = repeat(data, channels);
    Sums sums =
        sum_rows(pool, rows, channels,
                 [&](int64_t row, int64_t steps, int64_t width, float* a, float* b) {
                   add_powers(data + row * channels, steps, width, shift.data(), a, b);
                 });
    for (int64_t c = 0; c < channels; ++c) {
      double first = sums[c] / rows, second = sums[channels + c] / rows;
      mean->typed_data()[c] = static_cast<float>(shift[c] + first);
      variance->typed_data()[c] =
          static_cast<float>(std::max(second - first * first, 0.0));
    }
  });
}

ffi::Error gradient_sums(ffi::ThreadPool pool, Floats dy, Floats x, Vector mean,
                         Vector scale, Vector bias, ffi::Result<Vector> first,
                         ffi::Result<Vector> second) {
  int64_t channels = x.dimensions().back(), rows = x.element_count() / channels;
  return report([&] {
    auto m = repeat(mean.typed_data(), channels),
         s = repeat(scale.typed_data(), channels),
         b = repeat(bias.typed_data(), channels);
    Sums sums = sum_rows(
        pool, rows, channels,
        [&](int64_t row, int64_t steps, int64_t width, float* one, float* two) {
          add_products(dy.typed_data() + row * channels,
                       x.typed_data() + row * channels, steps, width, m.data(),
                       s.data(), b.data(), one, two);
        });
    for (int64_t c = 0; c < channels; ++c) {
      first->typed_data()[c] = static_cast<float>(sums[c]);
      second->typed_data()[c] = static_cast<float>(sums[channels + c]);
    }
  });
}

}  // namespace
}  // namespace spectjax

XLA_FFI_DEFINE_HANDLER_SYMBOL(spectjax_moments, spectjax::moments,
                              spectjax::ffi::Ffi::Bind()
                                  .Ctx<spectjax::ffi::ThreadPool>()
                                  .Arg<spectjax::Floats>()
                                  .Ret<spectjax::Vector>()
                                  .Ret<spectjax::Vector>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(spectjax_gradient_sums, spectjax::gradient_sums,
                              spectjax::ffi::Ffi::Bind()
                                  .Ctx<spectjax::ffi::ThreadPool>()
                                  .Arg<spectjax::Floats>()
                                  .Arg<spectjax::Floats>()
                                  .Arg<spectjax::Vector>()
                                  .Arg<spectjax::Vector>()
                                  .Arg<spectjax::Vector>()
                                  .Ret<spectjax::Vector>()
                                  .Ret<spectjax::Vector>());
