// Batch normalisation with its ReLU, and the sums over pixels that it takes, as XLA
// custom calls. Arrays are dense, (..., channels), float32; each sum is one number for
// each channel.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
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

// The same for dy and dy * (x - shift), where (x - shift) * scale + bias > floor.
FOR_EACH_CPU void add_products(const float* dy, const float* x, int64_t steps,
                               int64_t width, const float* shift, const float* scale,
                               const float* bias, float floor, float* __restrict first,
                               float* __restrict second) {
  for (int64_t i = 0; i < steps; ++i, x += width, dy += width) {
    for (int64_t j = 0; j < width; ++j) {
      float difference = x[j] - shift[j], gradient = dy[j];
      float passed = difference * scale[j] + bias[j] > floor ? gradient : 0.0f;
      first[j] += passed;
      second[j] += passed * difference;
    }
  }
}

// y = (x - mean) * factor + bias, and at least `floor`.
FOR_EACH_CPU void normalise_rows(const float* x, int64_t steps, int64_t width,
                                 const float* mean, const float* factor,
                                 const float* bias, float floor, float* __restrict y) {
  for (int64_t i = 0; i < steps; ++i, x += width, y += width) {
    for (int64_t j = 0; j < width; ++j) {
      float value = (x[j] - mean[j]) * factor[j] + bias[j];
      y[j] = value > floor ? value : floor;
    }
  }
}

// dx = (dy - first - (x - mean) * second) * factor, where the dy of a y that is not
// above `floor` counts nothing.
FOR_EACH_CPU void gradient_rows(const float* dy, const float* x, int64_t steps,
                                int64_t width, const float* mean, const float* factor,
                                const float* bias, float floor, const float* first,
                                const float* second, float* __restrict dx) {
  for (int64_t i = 0; i < steps; ++i, x += width, dy += width, dx += width) {
    for (int64_t j = 0; j < width; ++j) {
      float difference = x[j] - mean[j], gradient = dy[j];
      float passed = difference * factor[j] + bias[j] > floor ? gradient : 0.0f;
      dx[j] = (passed - first[j] - difference * second[j]) * factor[j];
    }
  }
}

// Several rows at a time, for channels fewer than a vector holds.
int64_t rows_together(int64_t channels) { return std::max<int64_t>(1, 64 / channels); }

// Calls visit(part, row, steps, width) for all rows, each in one of several parts, which
// run side by side: `steps` times `width` numbers, whole rows, from row `row` on.
template <typename Visit>
void visit_rows(ffi::ThreadPool& pool, int64_t parts, int64_t rows, int64_t channels,
                const Visit& visit) {
  int64_t together = rows_together(channels), width = together * channels;
  run_tasks(pool, parts, [&](int64_t part) {
    int64_t row = part * rows / parts, stop = (part + 1) * rows / parts;
    // Floats add up a few numbers only; doubles add up these sums.
    constexpr int64_t few = 128;
    while (row < stop) {
      int64_t steps = std::min(few, (stop - row) / together), used = width;
      // The last rows, too few to stand side by side.
      if (steps == 0) steps = 1, used = (stop - row) * channels;
      visit(part, row, steps, used);
      row += steps * used / channels;
    }
  });
}

int64_t count_parts(ffi::ThreadPool& pool, int64_t rows, int64_t channels) {
  return std::max<int64_t>(
      1, std::min<int64_t>(pool.num_threads(), rows * channels / 65536));
}

using Sums = std::vector<double>;

// Returns both sums over rows, channel by channel: 2 * channels numbers. `add` handles
// `steps` times `width` numbers from row `row` on.
template <typename Add>
Sums sum_rows(ffi::ThreadPool& pool, int64_t rows, int64_t channels, const Add& add) {
  int64_t width = rows_together(channels) * channels;
  int64_t parts = count_parts(pool, rows, channels);
  std::vector<Sums> partial(parts, Sums(2 * channels));
  std::vector<std::vector<float>> sums(parts, std::vector<float>(2 * width));
  visit_rows(pool, parts, rows, channels,
             [&](int64_t part, int64_t row, int64_t steps, int64_t used) {
               float* few = sums[part].data();
               add(row, steps, used, few, few + width);
               for (int64_t j = 0; j < used; ++j) {
                 partial[part][j % channels] += few[j];
                 partial[part][channels + j % channels] += few[width + j];
               }
               std::fill(sums[part].begin(), sums[part].end(), 0.0f);
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

// Writes mean and variance over rows, channel by channel.
void find_moments(ffi::ThreadPool& pool, const float* x, int64_t rows, int64_t channels,
                  float* mean, float* variance) {
  // Differences from the first row keep their digits where the mean is large.
  auto shift = repeat(x, channels);
  Sums sums =
      sum_rows(pool, rows, channels,
               [&](int64_t row, int64_t steps, int64_t width, float* a, float* b) {
                 add_powers(x + row * channels, steps, width, shift.data(), a, b);
               });
  for (int64_t c = 0; c < channels; ++c) {
    double first = sums[c] / rows, second = sums[channels + c] / rows;
    mean[c] = static_cast<float>(shift[c] + first);
    variance[c] = static_cast<float>(std::max(second - first * first, 0.0));
  }
}

// Returns scale / sqrt(variance + epsilon).
std::vector<float> find_factor(const float* scale, const float* variance,
                               int64_t channels, float epsilon) {
  std::vector<float> factor(channels);
  for (int64_t c = 0; c < channels; ++c)
    factor[c] = scale[c] / std::sqrt(variance[c] + epsilon);
  return factor;
}

float find_floor(bool relu) {
  return relu ? 0.0f : -std::numeric_limits<float>::infinity();
}

struct Relu {
  bool relu;
};
struct Options {
  bool relu;
  float epsilon;
};

}  // namespace
}  // namespace spectjax

XLA_FFI_REGISTER_STRUCT_ATTR_DECODING(spectjax::Relu, StructMember<bool>("relu"));
XLA_FFI_REGISTER_STRUCT_ATTR_DECODING(spectjax::Options, StructMember<bool>("relu"),
                                      StructMember<float>("epsilon"));

namespace spectjax {
namespace {

ffi::Error moments(Pool pool, Floats x, ffi::Result<Vector> mean,
                   ffi::Result<Vector> variance) {
  int64_t channels = x.dimensions().back(), rows = x.element_count() / channels;
  return report([&] {
    find_moments(pool, x.typed_data(), rows, channels, mean->typed_data(),
                 variance->typed_data());
  });
}

ffi::Error normalise(Pool pool, Floats x, Vector scale, Vector bias,
                     ffi::Result<Floats> y, ffi::Result<Vector> mean,
                     ffi::Result<Vector> variance, Options options) {
  int64_t channels = x.dimensions().back(), rows = x.element_count() / channels;
  return report([&] {
    const float* data = x.typed_data();
    find_moments(pool, data, rows, channels, mean->typed_data(),
                 variance->typed_data());
    auto factor =
        find_factor(scale.typed_data(), variance->typed_data(), channels, options.epsilon);
    auto m = repeat(mean->typed_data(), channels), f = repeat(factor.data(), channels),
         b = repeat(bias.typed_data(), channels);
    visit_rows(pool, count_parts(pool, rows, channels), rows, channels,
               [&](int64_t, int64_t row, int64_t steps, int64_t width) {
                 int64_t at = row * channels;
                 normalise_rows(data + at, steps, width, m.data(), f.data(), b.data(),
                                find_floor(options.relu), y->typed_data() + at);
               });
  });
}

// Returns the sums of dy and dy * (x - mean) where (x - mean) * scale + bias > floor.
Sums sum_gradients(ffi::ThreadPool& pool, const float* dy, const float* x, int64_t rows,
                   int64_t channels, const float* mean, const float* scale,
                   const float* bias, float floor) {
  auto m = repeat(mean, channels), s = repeat(scale, channels),
       b = repeat(bias, channels);
  return sum_rows(pool, rows, channels,
                  [&](int64_t row, int64_t steps, int64_t width, float* one,
                      float* two) {
                    int64_t at = row * channels;
                    add_products(dy + at, x + at, steps, width, m.data(), s.data(),
                                 b.data(), floor, one, two);
                  });
}

ffi::Error gradient_sums(Pool pool, Floats dy, Floats x, Vector mean,
                         Vector scale, Vector bias, ffi::Result<Vector> first,
                         ffi::Result<Vector> second, Relu options) {
  int64_t channels = x.dimensions().back(), rows = x.element_count() / channels;
  return report([&] {
    Sums sums = sum_gradients(pool, dy.typed_data(), x.typed_data(), rows, channels,
                              mean.typed_data(), scale.typed_data(), bias.typed_data(),
                              find_floor(options.relu));
    std::copy_n(sums.begin(), channels, first->typed_data());
    std::copy_n(sums.begin() + channels, channels, second->typed_data());
  });
}

ffi::Error normalise_gradient(Pool pool, Floats dy, Floats x, Vector mean,
                              Vector variance, Vector scale, Vector bias,
                              ffi::Result<Floats> dx, ffi::Result<Vector> dscale,
                              ffi::Result<Vector> dbias, Options options) {
  int64_t channels = x.dimensions().back(), rows = x.element_count() / channels;
  return report([&] {
    auto factor =
        find_factor(scale.typed_data(), variance.typed_data(), channels, options.epsilon);
    Sums sums = sum_gradients(pool, dy.typed_data(), x.typed_data(), rows, channels,
                              mean.typed_data(), factor.data(), bias.typed_data(),
                              find_floor(options.relu));
    std::vector<float> means(channels), slopes(channels);
    for (int64_t c = 0; c < channels; ++c) {
      double wide = static_cast<double>(variance.typed_data()[c]) + options.epsilon;
      dbias->typed_data()[c] = static_cast<float>(sums[c]);
      dscale->typed_data()[c] =
          static_cast<float>(sums[channels + c] / std::sqrt(wide));
      means[c] = static_cast<float>(sums[c] / rows);
      slopes[c] = static_cast<float>(sums[channels + c] / wide / rows);
    }
    auto m = repeat(mean.typed_data(), channels), f = repeat(factor.data(), channels),
         b = repeat(bias.typed_data(), channels), one = repeat(means.data(), channels),
         two = repeat(slopes.data(), channels);
    visit_rows(pool, count_parts(pool, rows, channels), rows, channels,
               [&](int64_t, int64_t row, int64_t steps, int64_t width) {
                 int64_t at = row * channels;
                 gradient_rows(dy.typed_data() + at, x.typed_data() + at, steps, width,
                               m.data(), f.data(), b.data(), find_floor(options.relu),
                               one.data(), two.data(), dx->typed_data() + at);
               });
  });
}

}  // namespace
}  // namespace spectjax

XLA_FFI_DEFINE_HANDLER_SYMBOL(spectjax_moments, spectjax::moments);
XLA_FFI_DEFINE_HANDLER_SYMBOL(spectjax_gradient_sums, spectjax::gradient_sums);
XLA_FFI_DEFINE_HANDLER_SYMBOL(spectjax_normalise, spectjax::normalise);
XLA_FFI_DEFINE_HANDLER_SYMBOL(spectjax_normalise_gradient, spectjax::normalise_gradient);
