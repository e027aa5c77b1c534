#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"

/// Returns the status from the enclosing function unless it is OK.
#define SLUICE_RETURN_IF_ERROR(expression)                                    \
  do {                                                                        \
    if (::absl::Status sluice_status_ = (expression); !sluice_status_.ok()) { \
      return sluice_status_;                                                  \
    }                                                                         \
  } while (false)

/// The same with "`where`: " in front of the message; `where` is evaluated only on an error.
#define SLUICE_RETURN_IF_ERROR_AT(expression, where)                          \
  do {                                                                        \
    if (::absl::Status sluice_status_ = (expression); !sluice_status_.ok()) { \
      return ::sluice::Annotate(sluice_status_, where);                       \
    }                                                                         \
  } while (false)

/// Assigns the value of a StatusOr to `lhs` (a declaration or an lvalue), or returns its status.
#define SLUICE_ASSIGN_OR_RETURN(lhs, expression) \
  SLUICE_ASSIGN_OR_RETURN_IMPL_(SLUICE_CONCAT_(sluice_status_or_, __LINE__), lhs, expression)

#define SLUICE_CONCAT_INNER_(a, b) a##b
#define SLUICE_CONCAT_(a, b) SLUICE_CONCAT_INNER_(a, b)
#define SLUICE_ASSIGN_OR_RETURN_IMPL_(result, lhs, expression) \
  auto result = (expression);                                  \
  if (!result.ok()) return std::move(result).status();         \
  lhs = std::move(result).value()

namespace sluice {

/// The same code with "`where`: " in front of the message; OK stays OK.
inline absl::Status Annotate(const absl::Status& status, absl::string_view where) {
  if (status.ok()) return status;
  return absl::Status(status.code(), std::string(where) + ": " + std::string(status.message()));
}

}  // namespace sluice
