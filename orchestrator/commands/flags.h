#pragma once

#include <cstdint>
#include <string>

#include "absl/flags/declare.h"

// The flags of all subcommands; each lists those that it takes. Spelling follows horovodrun where it has the
// flag ("-" and "_" are the same).
ABSL_DECLARE_FLAG(int32_t, np);
ABSL_DECLARE_FLAG(int32_t, num_proc);
ABSL_DECLARE_FLAG(bool, json);
ABSL_DECLARE_FLAG(bool, verbose);
ABSL_DECLARE_FLAG(bool, dry_run);
ABSL_DECLARE_FLAG(std::string, run_directory);
ABSL_DECLARE_FLAG(std::string, log_level);
ABSL_DECLARE_FLAG(int32_t, start_timeout);
ABSL_DECLARE_FLAG(std::string, chaos);

// Of `plan`.
ABSL_DECLARE_FLAG(std::string, stats);
ABSL_DECLARE_FLAG(std::string, window);
ABSL_DECLARE_FLAG(std::string, policy);
ABSL_DECLARE_FLAG(std::string, network);
ABSL_DECLARE_FLAG(std::string, backward);
ABSL_DECLARE_FLAG(int32_t, world);
ABSL_DECLARE_FLAG(bool, explain);

// Between `run` and the processes that it starts.
ABSL_DECLARE_FLAG(std::string, job);
ABSL_DECLARE_FLAG(std::string, job_id);
ABSL_DECLARE_FLAG(std::string, coordinator);
ABSL_DECLARE_FLAG(int32_t, slot);
ABSL_DECLARE_FLAG(std::string, bind);
ABSL_DECLARE_FLAG(int32_t, port);
ABSL_DECLARE_FLAG(int32_t, announce_fd);
ABSL_DECLARE_FLAG(int32_t, launcher_pid);
