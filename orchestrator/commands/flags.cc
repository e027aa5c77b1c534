#include "orchestrator/commands/flags.h"

#include "absl/flags/flag.h"

ABSL_FLAG(int32_t, np, 0, "worker processes in total (default: world.size of the job file)");
ABSL_FLAG(int32_t, num_proc, 0, "the same as -np");
ABSL_FLAG(bool, json, false,
          "standard output is JSON (docs/formats.md), one object a line; text for people goes to "
          "standard error");
ABSL_FLAG(bool, verbose, false, "a table per policy, and every process's start and end");
ABSL_FLAG(bool, dry_run, false, "print the resolved job and the commands, start nothing");
ABSL_FLAG(std::string, run_directory, "",
          "where the run's files go (default: a new folder under runs/)");
ABSL_FLAG(std::string, log_level, "INFO", "TRACE, DEBUG, INFO, WARNING, ERROR or FATAL");
ABSL_FLAG(int32_t, start_timeout, 120, "seconds within which all processes must have joined");
ABSL_FLAG(std::string, chaos, "",
          "file of faults to inject, to see what becomes of the job (docs/operations.md)");

ABSL_FLAG(std::string, stats, "", "the stats.jsonl of a run");
ABSL_FLAG(std::string, window, "last", "number of the window to plan for, or last");
ABSL_FLAG(std::string, policy, "", "compression policy to ask (default: the job's)");
ABSL_FLAG(std::string, network, "",
          "rate and latency of every link, as in 1gbit,0.2ms (default: as recorded)");
ABSL_FLAG(std::string, backward, "",
          "length of the backward pass, as in 40ms (default: as recorded)");
ABSL_FLAG(int32_t, world, 0, "number of ranks (default: as recorded)");
ABSL_FLAG(bool, explain, false, "say for each layer what its next options would cost");

ABSL_FLAG(
    std::string, job, "",
    "job file; of plan the one beside the statistics if not given, of the processes that `run` "
    "starts the one that it resolved");
ABSL_FLAG(std::string, job_id, "", "the job's id; processes of another job are turned away");
ABSL_FLAG(std::string, coordinator, "", "HOST:PORT of the coordinator");
ABSL_FLAG(int32_t, slot, -1, "number of this process among its kind; a worker's rank");
ABSL_FLAG(std::string, bind, "127.0.0.1",
          "address that the coordinator listens on; members of other hosts must reach it");
ABSL_FLAG(int32_t, port, 0, "port that the coordinator listens on, 0 = any free one");
ABSL_FLAG(int32_t, announce_fd, -1,
          "descriptor to which the coordinator writes its port and a newline");
ABSL_FLAG(int32_t, launcher_pid, 0, "process id of the launcher, to name it when it is gone");
