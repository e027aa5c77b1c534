#include "policies/compression/error_table.h"

#include <cmath>
#include <limits>

namespace sluice {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::infinity();

double InMetric(double squared, bool squared_metric) {
  if (!std::isfinite(squared) || squared < 0) return kUnknown;
  return squared_metric ? squared : std::sqrt(squared);
}

}  // namespace

ErrorTable::ErrorTable(const proto::WindowStatistics& window, const std::string& metric) {
  const bool squared = metric == "l2sq";
  for (const proto::LayerStatistics& layer : window.layers()) {
    const double ratio = layer.error_ratio() > 0 ? layer.error_ratio() : 1;  // as of its options
    silence_.push_back(InMetric(layer.squared_norm() * ratio, squared));
    std::vector<double>& errors = errors_.emplace_back();
    for (const proto::OptionStatistics& option : layer.options()) {
      errors.push_back(option.codec().kind() == proto::CODEC_RAW
                           ? 0
                           : InMetric(option.squared_error(), squared));
    }
  }
}

double ErrorTable::Sum(const OptionIndices& options) const {
  double sum = 0, lost = 0;
  for (size_t l = 0; l < errors_.size(); ++l) {
    const double error = errors_[l][options[l]];
    if (error == kUnknown) continue;
    const double next = sum + error;
    lost += sum >= error ? (sum - next) + error : (error - next) + sum;
    sum = next;
  }
  return std::isfinite(sum) ? sum + lost : sum;
}

}  // namespace sluice
