// ROIAlign and greedy NMS for torchvision, where its own operators do not load.
//
// The same results and the same plan of work as torchvision's on a CPU: samples of a
// ROI are placed once for all channels, and everything runs on one thread.

#include <ATen/ATen.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

namespace {

// Where a sample lies along one axis: two cells and the share of the second one.
template <typename T>
struct Position {
  int64_t low, high;
  T share;
  bool inside;
};

// A ROI on the cells of a feature map: `bins` bins of `samples` samples on an axis.
template <typename T>
struct Axis {
  T start, bin;
  int64_t samples;

  Axis(T low, T high, double scale, int64_t bins, int64_t ratio, bool aligned) {
    const T shift = aligned ? 0.5 : 0;
    start = low * static_cast<T>(scale) - shift;
    T length = high * static_cast<T>(scale) - shift - start;
    if (!aligned) length = std::max(length, T(1));
    bin = length / bins;
    samples = ratio > 0 ? ratio : static_cast<int64_t>(std::ceil(bin));
  }

  Position<T> find(int64_t index, int64_t sample, int64_t size) const {
    T at = start + index * bin + (sample + T(0.5)) * bin / samples;
    Position<T> p{0, 0, 0, at >= -1 && at <= size};
    if (!p.inside) return p;
    at = std::max(at, T(0));
    p.low = std::min(static_cast<int64_t>(at), size - 1);
    p.high = std::min(p.low + 1, size - 1);
    p.share = p.high == p.low ? T(0) : at - p.low;
    return p;
  }
};

// Four cells of a channel, as offsets from its first one, and their weights.
template <typename T>
struct Sample {
  int64_t cells[4];
  T weights[4];
};

template <typename T>
Sample<T> place(const Position<T>& y, const Position<T>& x, int64_t width) {
  if (!y.inside || !x.inside) return {{0, 0, 0, 0}, {0, 0, 0, 0}};
  return {{y.low * width + x.low, y.low * width + x.high,
                 y.high * width + x.low, y.high * width + x.high},
                {(1 - y.share) * (1 - x.share), (1 - y.share) * x.share,
                 y.share * (1 - x.share), y.share * x.share}};
}

// All samples of a ROI, bin after bin.
template <typename T>
struct Grid {
  std::vector<Sample<T>> samples;
  int64_t image, samples_per_bin;

  Grid(const T* roi, double scale, int64_t bins_h, int64_t bins_w, int64_t ratio,
       bool aligned, int64_t height, int64_t width)
      : image(static_cast<int64_t>(roi[0])) {
    const Axis<T> y(roi[2], roi[4], scale, bins_h, ratio, aligned);
    const Axis<T> x(roi[1], roi[3], scale, bins_w, ratio, aligned);
    samples_per_bin = std::max<int64_t>(y.samples, 0) * std::max<int64_t>(x.samples, 0);
    samples.reserve(bins_h * bins_w * samples_per_bin);
    for (int64_t i = 0; i < bins_h; ++i)
      for (int64_t j = 0; j < bins_w; ++j)
        for (int64_t a = 0; a < y.samples; ++a) {
          const Position<T> row = y.find(i, a, height);
          for (int64_t b = 0; b < x.samples; ++b)
            samples.push_back(place(row, x.find(j, b, width), width));
        }
  }
};

// Images (B, C, H, W), rois (R, 5): image, x0, y0, x1, y1. Returns (R, C, h, w).
template <typename T>
at::Tensor align_as(const at::Tensor& images, const at::Tensor& rois, double scale,
                    int64_t bins_h, int64_t bins_w, int64_t ratio, bool aligned) {
  const at::Tensor x = images.contiguous(), r = rois.contiguous();
  TORCH_CHECK(x.scalar_type() == r.scalar_type(),
              "expected features and rois of one type");
  const int64_t channels = x.size(1), height = x.size(2), width = x.size(3);
  const int64_t bins = bins_h * bins_w;
  at::Tensor y = at::zeros({r.size(0), channels, bins_h, bins_w}, x.options());
  T* out = y.data_ptr<T>();
  for (int64_t n = 0; n < r.size(0); ++n) {
    const Grid<T> grid(r.data_ptr<T>() + 5 * n, scale, bins_h, bins_w, ratio, aligned,
                    height, width);
    const T* plane = x.data_ptr<T>() + grid.image * channels * height * width;
    const T count = std::max<int64_t>(grid.samples_per_bin, 1);
    for (int64_t c = 0; c < channels; ++c, plane += height * width) {
      const Sample<T>* s = grid.samples.data();
      for (int64_t i = 0; i < bins; ++i) {
        T sum = 0;
        for (int64_t k = 0; k < grid.samples_per_bin; ++k, ++s)
          sum += s->weights[0] * plane[s->cells[0]] + s->weights[1] * plane[s->cells[1]] +
                 s->weights[2] * plane[s->cells[2]] + s->weights[3] * plane[s->cells[3]];
        *out++ = sum / count;
      }
    }
  }
  return y;
}

// The gradient with respect to the images, for that of the result, (R, C, h, w).
template <typename T>
at::Tensor align_backward_as(const at::Tensor& gradient, const at::Tensor& rois,
                             double scale, int64_t bins_h, int64_t bins_w,
                             int64_t batch, int64_t channels, int64_t height,
                             int64_t width, int64_t ratio, bool aligned) {
  const at::Tensor g = gradient.contiguous(), r = rois.contiguous();
  at::Tensor dx = at::zeros({batch, channels, height, width}, g.options());
  const T* from = g.data_ptr<T>();
  for (int64_t n = 0; n < r.size(0); ++n) {
    const Grid<T> grid(r.data_ptr<T>() + 5 * n, scale, bins_h, bins_w, ratio, aligned,
                    height, width);
    T* plane = dx.data_ptr<T>() + grid.image * channels * height * width;
    const T count = std::max<int64_t>(grid.samples_per_bin, 1);
    for (int64_t c = 0; c < channels; ++c, plane += height * width) {
      const Sample<T>* s = grid.samples.data();
      for (int64_t i = 0; i < bins_h * bins_w; ++i) {
        const T share = *from++ / count;
        for (int64_t k = 0; k < grid.samples_per_bin; ++k, ++s)
          for (int corner = 0; corner < 4; ++corner)
            plane[s->cells[corner]] += share * s->weights[corner];
      }
    }
  }
  return dx;
}

at::Tensor align(const at::Tensor& images, const at::Tensor& rois, double scale,
                 int64_t bins_h, int64_t bins_w, int64_t ratio, bool aligned) {
  const auto run =
      images.scalar_type() == at::kDouble ? align_as<double> : align_as<float>;
  return run(images, rois, scale, bins_h, bins_w, ratio, aligned);
}

at::Tensor align_backward(const at::Tensor& gradient, const at::Tensor& rois,
                          double scale, int64_t bins_h, int64_t bins_w, int64_t batch,
                          int64_t channels, int64_t height, int64_t width,
                          int64_t ratio, bool aligned) {
  const auto run = gradient.scalar_type() == at::kDouble ? align_backward_as<double>
                                                         : align_backward_as<float>;
  return run(gradient, rois, scale, bins_h, bins_w, batch, channels, height, width,
             ratio, aligned);
}

// Boxes (N, 4): x0, y0, x1, y1. Returns the kept ones, the highest score first.
at::Tensor suppress(const at::Tensor& boxes, const at::Tensor& scores,
                    double threshold) {
  const at::Tensor order = std::get<1>(scores.sort(/*stable=*/true, 0, true));
  const at::Tensor sorted =
      boxes.index_select(0, order).to(at::kFloat).t().contiguous();
  const int64_t count = sorted.size(1);
  const float *x0 = sorted.data_ptr<float>(), *y0 = x0 + count, *x1 = y0 + count,
              *y1 = x1 + count;
  std::vector<float> areas(count);
  for (int64_t i = 0; i < count; ++i) areas[i] = (x1[i] - x0[i]) * (y1[i] - y0[i]);
  std::vector<char> dropped(count, 0);
  std::vector<int64_t> kept;
  for (int64_t i = 0; i < count; ++i) {
    if (dropped[i]) continue;
    kept.push_back(i);
    for (int64_t j = i + 1; j < count; ++j) {
      const float w = std::min(x1[i], x1[j]) - std::max(x0[i], x0[j]);
      const float h = std::min(y1[i], y1[j]) - std::max(y0[i], y0[j]);
      const float shared = std::max(w, 0.0f) * std::max(h, 0.0f);
      if (shared / (areas[i] + areas[j] - shared) > threshold) dropped[j] = 1;
    }
  }
  return order.index_select(0, at::tensor(kept, order.options()));
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(torchvision, m) {
  m.def(
      "roi_align(Tensor input, Tensor rois, float spatial_scale, int pooled_height, "
      "int pooled_width, int sampling_ratio, bool aligned) -> Tensor");
  m.def(
      "_roi_align_backward(Tensor grad, Tensor rois, float spatial_scale, int "
      "pooled_height, int pooled_width, int batch_size, int channels, int height, int "
      "width, int sampling_ratio, bool aligned) -> Tensor");
  m.def("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor");
  // Only so that torchvision can be imported.
  m.def("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor");
}

TORCH_LIBRARY_IMPL(torchvision, CPU, m) {
  m.impl("roi_align", align);
  m.impl("_roi_align_backward", align_backward);
  m.impl("nms", suppress);
}
