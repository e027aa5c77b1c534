#include "orchestrator/commands/flags.h"

#include "absl/flags/flag.h"

ABSL_FLAG(int32_t, np, 0, "worker processes in total (default: world.size of the job file)");
ABSL_FLAG(int32_t, num_proc, 0, "the same as -np");
ABSL_FLAG(int32_t, min_np, 0,
          "elastic: go on with as few workers as this (default: world.min_size of the job file)");
ABSL_FLAG(int32_t, max_np, 0, "elastic: never use more workers than this");
ABSL_FLAG(int32_t, profilers, 0,
          "processes that measure gradients for the planner, each a part of the layers (default: "
          "world.profilers of the job file)");
ABSL_FLAG(int32_t, reset_limit, 0, "elastic: end after this many changes of membership");
ABSL_FLAG(int32_t, max_restarts, -1, "elastic: start dead workers again so often, over all");
ABSL_FLAG(double, elastic_timeout, 0, "elastic: seconds to wait for enough workers");
ABSL_FLAG(
    std::string, resume, "",
    "where to go on from: auto (the newest whole checkpoint in checkpoint.directory), the path "
    "of a checkpoint, or none");
ABSL_FLAG(bool, json, false,
          "standard output is JSON (docs/formats.md), one object a line; text for people goes to "
          "standard error");
ABSL_FLAG(bool, verbose, false, "a table per policy, and every process's start and end");
ABSL_FLAG(bool, dry_run, false, "print the resolved job and the commands, start nothing");
ABSL_FLAG(std::string, run_directory, "",
          "where the run's files go (default: a new folder under runs/)");
ABSL_FLAG(std::string, log_level, "INFO", "TRACE, DEBUG, INFO, WARNING, ERROR or FATAL");
ABSL_FLAG(int32_t, start_timeout, 120, "seconds within which all processes must have joined");
ABSL_FLAG(std::string, credentials, "",
          "folder with what proves that a process belongs to the job (orchestrator credentials DIR "
          "makes one); run "
          "makes its own if not given; - reads standard input, where launchers write them");

ABSL_FLAG(std::string, H, "",
          "hosts and how many workers each may run, as in a01:4,a02:4 (default: this machine)");
ABSL_FLAG(std::string, hosts, "", "the same as -H");
ABSL_FLAG(std::string, hostfile, "", "file with a host a line, as in: node01 slots=4");
ABSL_FLAG(
    std::string, host_discovery_script, "",
    "elastic: program, or command of the shell, that prints the hosts there are, one a line as "
    "in node01:4; asked once a second (docs/elastic.md)");
ABSL_FLAG(int32_t, slots_per_host, 0,
          "slots of discovered hosts that are printed without a number");
ABSL_FLAG(int32_t, slots, 0, "the same as --slots-per-host");
ABSL_FLAG(sluice::NumberPair, blacklist_cooldown_range, sluice::NumberPair(),
          "elastic: MIN MAX, the seconds that a host is left out after repeated failures, doubling "
          "from MIN to MAX (default: for the rest of the job)");
ABSL_FLAG(int32_t, p, 0, "port of ssh on the other hosts (default: what ssh is configured for)");
ABSL_FLAG(int32_t, ssh_port, 0, "the same as -p");
ABSL_FLAG(std::string, i, "", "file with the key for ssh");
ABSL_FLAG(std::string, ssh_identity_file, "", "the same as -i");
ABSL_FLAG(
    bool, ssh_accept_new, false,
    "trust the host key of hosts that ssh has not seen before; changed keys are refused always");
ABSL_FLAG(
    std::string, network_interface, "",
    "interface for control and data traffic, as in eth1; several with commas or repeated: the "
    "coordinator listens on the first");
ABSL_FLAG(std::string, network_interfaces, "", "the same as --network-interface");
ABSL_FLAG(int32_t, coordinator_port, 0,
          "port that the coordinator listens on (default: a free one)");
ABSL_FLAG(std::string, env, "",
          "NAME or NAME=VALUE for the environment of workers; repeatable (docs/operations.md)");
ABSL_FLAG(std::string, no_env, "",
          "pattern of names that workers do not get from this environment; repeatable");
ABSL_FLAG(
    std::string, output_filename, "",
    "folder for the output of each worker, beside the terminal: gen.G/rank.R/stdout and stderr");
ABSL_FLAG(std::string, chaos, "",
          "file of faults to inject, to see what becomes of the job (docs/operations.md)");

ABSL_FLAG(bool, build, false, "say what was built in, with versions, and look at no host");
ABSL_FLAG(std::string, model, "", "name of a network of the zoo, instead of a file");
ABSL_FLAG(std::string, example, "",
          "an input's extents without the batch, as 1x28x28; one number is tokens. Repeated for "
          "several inputs");
ABSL_FLAG(int32_t, classes, 10, "classes of a network of the zoo; of tokens, the vocabulary");
ABSL_FLAG(int32_t, divisor, 8, "channels are kept in multiples of it");
ABSL_FLAG(std::string, keep, "",
          "pattern of parameters' names, as of file names, whose channels are kept; repeatable");
ABSL_FLAG(std::string, dot, "", "also write the graph to this file, for Graphviz");

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
    double, eps, -1,
    "attacks: most that a pixel changes, of 1 (default: that of the job's last tscnc phase, else "
    "8/255)");
ABSL_FLAG(int32_t, samples, 0, "attacks: so many of the test set, the first ones (default: all)");
ABSL_FLAG(int32_t, restarts, 5, "attacks: starts of the strongest attack");

ABSL_FLAG(std::string, out, "", "the smaller network's file");

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
ABSL_FLAG(bool, recover, false,
          "the coordinator takes the place of one that died: its members are still there");
ABSL_FLAG(int32_t, announce_fd, -1,
          "descriptor to which the coordinator writes its port, and the number of each generation");
ABSL_FLAG(int32_t, launcher_pid, 0, "process id of the launcher, to name it when it is gone");
