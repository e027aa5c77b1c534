#pragma once

#include <ATen/autocast_mode.h>

namespace sluice {

/// While it lives, and `on`, this thread computes matrix products and convolutions in bf16: LibTorch casts
/// their inputs, keeps the cast weights until the end, and lets gradients arrive in fp32. Not nested.
class Bf16Scope {
 public:
  explicit Bf16Scope(bool on) : on_(on) {
    if (!on_) return;
    at::autocast::set_autocast_cpu_dtype(at::kBFloat16);
    at::autocast::set_cpu_enabled(true);
  }
  ~Bf16Scope() {
    if (!on_) return;
    at::autocast::set_cpu_enabled(false);
    at::autocast::clear_cache();
  }
  Bf16Scope(const Bf16Scope&) = delete;
  Bf16Scope& operator=(const Bf16Scope&) = delete;

 private:
  const bool on_;
};

}  // namespace sluice
