#pragma once

#include <cstdint>
#include <string>

#include "absl/flags/declare.h"
#include "orchestrator/flags/number_pair.h"

// The flags of all subcommands; each lists those that it takes. Spelling follows horovodrun where it has the
// flag ("-" and "_" are the same).
ABSL_DECLARE_FLAG(int32_t, np);
ABSL_DECLARE_FLAG(int32_t, num_proc);
ABSL_DECLARE_FLAG(int32_t, min_np);
ABSL_DECLARE_FLAG(int32_t, max_np);
ABSL_DECLARE_FLAG(int32_t, profilers);
ABSL_DECLARE_FLAG(int32_t, reset_limit);
ABSL_DECLARE_FLAG(int32_t, max_restarts);
ABSL_DECLARE_FLAG(double, elastic_timeout);
ABSL_DECLARE_FLAG(std::string, resume);
ABSL_DECLARE_FLAG(bool, json);
ABSL_DECLARE_FLAG(bool, verbose);
ABSL_DECLARE_FLAG(bool, dry_run);
ABSL_DECLARE_FLAG(std::string, run_directory);
ABSL_DECLARE_FLAG(std::string, log_level);
ABSL_DECLARE_FLAG(int32_t, start_timeout);
ABSL_DECLARE_FLAG(std::string, credentials);

// Of `run`: where workers run, and what they get.
ABSL_DECLARE_FLAG(std::string, H);
ABSL_DECLARE_FLAG(std::string, hosts);
ABSL_DECLARE_FLAG(std::string, hostfile);
ABSL_DECLARE_FLAG(std::string, host_discovery_script);
ABSL_DECLARE_FLAG(int32_t, slots_per_host);
ABSL_DECLARE_FLAG(int32_t, slots);
ABSL_DECLARE_FLAG(sluice::NumberPair, blacklist_cooldown_range);
ABSL_DECLARE_FLAG(int32_t, p);
ABSL_DECLARE_FLAG(int32_t, ssh_port);
ABSL_DECLARE_FLAG(std::string, i);
ABSL_DECLARE_FLAG(std::string, ssh_identity_file);
ABSL_DECLARE_FLAG(bool, ssh_accept_new);
ABSL_DECLARE_FLAG(std::string, network_interface);
ABSL_DECLARE_FLAG(std::string, network_interfaces);
ABSL_DECLARE_FLAG(int32_t, coordinator_port);
ABSL_DECLARE_FLAG(std::string, env);
ABSL_DECLARE_FLAG(std::string, no_env);
ABSL_DECLARE_FLAG(std::string, output_filename);
ABSL_DECLARE_FLAG(std::string, chaos);

// Of `check`.
ABSL_DECLARE_FLAG(bool, build);

// Of `analyse`.
ABSL_DECLARE_FLAG(std::string, model);
ABSL_DECLARE_FLAG(std::string, example);
ABSL_DECLARE_FLAG(int32_t, classes);
ABSL_DECLARE_FLAG(int32_t, divisor);
ABSL_DECLARE_FLAG(std::string, keep);
ABSL_DECLARE_FLAG(std::string, dot);

// Of `plan`.
ABSL_DECLARE_FLAG(std::string, stats);
ABSL_DECLARE_FLAG(std::string, window);
ABSL_DECLARE_FLAG(std::string, policy);
ABSL_DECLARE_FLAG(std::string, network);
ABSL_DECLARE_FLAG(std::string, backward);
ABSL_DECLARE_FLAG(int32_t, world);
ABSL_DECLARE_FLAG(bool, explain);

// Of `attack`.
ABSL_DECLARE_FLAG(double, eps);
ABSL_DECLARE_FLAG(int32_t, samples);
ABSL_DECLARE_FLAG(int32_t, restarts);

// Of `prune`.
ABSL_DECLARE_FLAG(std::string, out);

// Between `run` and the processes that it starts.
ABSL_DECLARE_FLAG(std::string, job);
ABSL_DECLARE_FLAG(std::string, job_id);
ABSL_DECLARE_FLAG(std::string, coordinator);
ABSL_DECLARE_FLAG(int32_t, slot);
ABSL_DECLARE_FLAG(std::string, bind);
ABSL_DECLARE_FLAG(int32_t, port);
ABSL_DECLARE_FLAG(bool, recover);
ABSL_DECLARE_FLAG(int32_t, announce_fd);
ABSL_DECLARE_FLAG(int32_t, launcher_pid);
