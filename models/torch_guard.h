#pragma once

#include <exception>
#include <new>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace sluice {
namespace torch_guard_internal {

template <class Value>
struct Guarded {
  using Type = absl::StatusOr<Value>;
};
template <>
struct Guarded<void> {
  using Type = absl::Status;
};
template <>
struct Guarded<absl::Status> {
  using Type = absl::Status;
};
template <class Value>
struct Guarded<absl::StatusOr<Value>> {
  using Type = absl::StatusOr<Value>;
};

}  // namespace torch_guard_internal

/// LibTorch's message without the C++ backtrace that it appends.
inline std::string TorchMessage(const std::exception& thrown) {
  const std::string text = thrown.what();
  return text.substr(0, text.find("\nException raised from"));
}

/// A Status on its way through LibTorch, as from an operator of ours: TorchGuard gives it back.
class ThrownStatus : public std::exception {
 public:
  explicit ThrownStatus(absl::Status status)
      : status_(std::move(status)), text_(status_.ToString()) {}
  const absl::Status& status() const { return status_; }
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  absl::Status status_;
  std::string text_;
};

/// Runs `body` and turns what LibTorch (or the STL) throws into a Status: the one place where
/// exceptions end. Returns what `body` returns if that is a Status or StatusOr, a StatusOr of it if
/// it is another value, and a Status if it returns nothing.
/// \param where  names the operation and ids, e.g. "step 12, rank 3: backward"
/// \error kResourceExhausted  out of memory
/// \error of a ThrownStatus
/// \error kInternal           anything else that was thrown
template <class Body>
auto TorchGuard(absl::string_view where, Body&& body) {
  using Value = std::invoke_result_t<Body>;
  using Result = typename torch_guard_internal::Guarded<Value>::Type;
  try {
    if constexpr (std::is_void_v<Value>) {
      std::forward<Body>(body)();
      return Result(absl::OkStatus());
    } else {
      return Result(std::forward<Body>(body)());
    }
  } catch (const ThrownStatus& thrown) {
    return Result(Annotate(thrown.status(), where));
  } catch (const std::bad_alloc&) {
    return Result(absl::ResourceExhaustedError(absl::StrCat(where, ": out of memory")));
  } catch (const std::exception& thrown) {
    return Result(absl::InternalError(absl::StrCat(where, ": ", TorchMessage(thrown))));
  }
}

}  // namespace sluice
