#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "proto/control.pb.h"

namespace sluice {

/// Who is in the job: forms generations, ends them, and finds steps at which all ranks do the same. Knows
/// processes, steps and time; nothing of models, policies or the network. Events in, orders out.
///
///     generation g, kRunning                                        generation g + 1, kRunning
///        |  (1) a rank is lost, or cannot reach another                  ^
///        |      --> EndGeneration to all: the step in flight is over     |  (3) all that are left have joined
///        +-------------------------> kForming ---------------------------+      again, and they are enough
///        |  (2) somebody wants in, or out: Hold, Held..., Boundary       |
///        +---------------------------------------------------------------+
///
/// In kForming a rank that is lost makes those that have not joined again give up the step they are in; a process
/// that has not joined again after rejoin_timeout is told to leave and counts as lost. The next generation starts from the
/// most advanced state that a member of it holds; members that do not hold it receive it from the
/// first rank that does. Ranks: those of the last generation first, in their old order, then newcomers by
/// slot.
///
/// A job that is not elastic (min_workers 0) has one generation: a loss ends it.
/// \threadsafety one thread at a time
class Membership {
 public:
  struct Options {
    int workers = 1;      ///< for the first generation
    int min_workers = 0;  ///< for later ones; 0 = there are none: not elastic
    int max_workers = 0;  ///< ranks at most, 0 = no limit; more stay spare
    int profilers = 0;
    /// A coordinator that was started again: members of its predecessor's generation are expected, and after
    /// recover_timeout as many of them do as there are.
    bool recovering = false;
    absl::Duration recover_timeout = absl::Seconds(10);
    /// The first slot's process alone knows what the job goes on from.
    bool needs_slot_zero = false;
    /// A generation starts without its model: until OnModel its ranks come to no step, and so to no boundary either.
    bool late_model = false;
    int reset_limit = 0;  ///< changes of membership after which the job ends; 0 = never
    absl::Duration start_timeout = absl::Seconds(120);    ///< for the first generation
    absl::Duration elastic_timeout = absl::Seconds(600);  ///< below min_workers
    absl::Duration rejoin_timeout =
        absl::Seconds(20);  ///< of a generation's members, to join the next

    bool elastic() const { return min_workers > 0; }
  };
  using MemberId = int;

  // Orders.
  /// A new generation, with these members.
  struct Start {
    int64_t generation = 0;
    std::vector<MemberId> workers;    ///< by rank
    std::vector<MemberId> profilers;  ///< follow the ranks
    int64_t start_step = 0;
    int source_rank = 0;
    std::vector<int> ranks_to_sync;
  };
  /// The current generation is over for `members`: give up the step, and join again.
  struct End {
    std::vector<MemberId> members;
    std::string reason;
    std::vector<proto::ProcessInfo> lost;
  };
  struct Hold {
    std::vector<MemberId> workers;
    int64_t serial = 0;
  };
  struct Boundary {
    std::vector<MemberId> workers;
    int64_t serial = 0;
    int64_t before_step = 0;
    bool checkpoint = false;
    proto::Boundary::Then then = proto::Boundary::THEN_CONTINUE;
    std::string reason;
  };
  /// The generation goes on without this profiler; with none left, no more windows are decided.
  struct ProfilerLost {
    MemberId member;
    std::string reason;
    int left = 0;  ///< profilers of this generation that are still there
  };
  /// Told to leave. It is no member any more.
  struct Dismiss {
    MemberId member;
    std::string reason;
    bool asked = false;  ///< it is what its process wanted, and no error
  };
  /// The job is over.
  struct Fail {
    proto::ProcessInfo culprit;
    std::string cause;
    int exit_code = 0;
  };
  using Order = std::variant<Start, End, Hold, Boundary, ProfilerLost, Dismiss, Fail>;
  using Orders = std::vector<Order>;

  enum class Phase { kForming, kRunning, kOver };

  struct Member {
    proto::ProcessInfo process;
    bool joined = false;   ///< for the next generation, or as one of the current one
    int rank = -1;         ///< in the current generation; -1: newcomer, spare or profiler
    bool current = false;  ///< takes part in the current generation, as rank or profiler
    int64_t completed = 0;
    std::optional<int64_t> begun;  ///< answer to the Hold in progress
    std::string leaving;           ///< why it wants to leave, empty: it does not
  };

  explicit Membership(const Options& options, absl::Time now);

  /// Of the job, as far as it is known: a condition may have ended a phase early.
  void SetTotalSteps(int64_t total_steps) { total_steps_ = total_steps; }

  /// `process` asks to take part, for the first time or, after its generation has ended, again.
  /// \param completed     steps whose outcome it holds
  Orders OnJoin(MemberId id, const proto::ProcessInfo& process, int64_t completed, absl::Time now);
  /// A process wants to leave while the others go on: a rank does at the next boundary, in place of joining the next
  /// generation. It stays as long as no other rank is there that stays, since somebody must hold the state. \pre elastic
  Orders OnLeave(MemberId id, const std::string& why, absl::Time now);
  /// All ranks of the generation have made their model known: who wants in or out may be seen to now. \pre late_model
  Orders OnModel();
  /// Before the first generation of this coordinator: a member has taken part in `generation` of its predecessor.
  void Recover(int64_t generation);
  /// Whether a generation has started under this coordinator.
  bool formed() const { return formed_; }
  Orders OnLost(MemberId id, const std::string& how, absl::Time now);
  /// A rank cannot go on with the current generation although nobody is known to be lost: the link between two of
  /// them broke, a deadline passed. On the way to a boundary those that have not come there give up. \pre elastic
  Orders OnTrouble(const std::string& cause, absl::Time now);
  Orders OnHeld(MemberId id, int64_t serial, int64_t begun, absl::Time now);
  /// A process has a new line to us, `fresh` in the place of `old`. Nothing else changes.
  void Rename(MemberId old, MemberId fresh);
  /// All ranks are to write a checkpoint, or to leave, at the next step that they can agree on; asked of the
  /// next generation while there is none.
  Orders Request(bool checkpoint, proto::Boundary::Then then, const std::string& reason);
  Orders OnTick(absl::Time now);
  /// Says once per forming generation for how many workers those that are left wait; empty otherwise.
  std::string TakeWaiting(absl::Time now);
  /// The job is over, well or badly: nothing is decided any more.
  void Finish() { phase_ = Phase::kOver; }

  Phase phase() const { return phase_; }
  int64_t generation() const { return generation_; }
  const std::map<MemberId, Member>& members() const { return members_; }
  int world_size() const { return world_size_; }  ///< of the current generation
  int resets() const { return resets_; }
  /// Who is waited for, for messages to people: "rank 1, profiler 0".
  std::string Missing() const;

 private:
  struct Wish {
    bool checkpoint = false;
    proto::Boundary::Then then = proto::Boundary::THEN_CONTINUE;
    std::string reason;
  };

  Orders StartIfReady(absl::Time now, bool late);
  Start MakeStart(const std::vector<MemberId>& workers);
  Orders EndGeneration(const std::string& reason, std::vector<proto::ProcessInfo> lost,
                       absl::Time now);
  Orders HoldIfWanted();
  Orders DecideIfHeld(absl::Time now);
  Orders GiveUp(const std::string& reason, std::vector<proto::ProcessInfo> lost, absl::Time now);
  Orders FailWith(proto::ProcessInfo culprit, const std::string& cause, int exit_code);
  void BeginForming(absl::Time now);
  void AwaitOthers(absl::Time now);
  std::vector<MemberId> Ranks() const;
  std::vector<MemberId> JoinedInOrder(proto::Role role) const;
  bool SurvivorsMissing() const;
  int CurrentProfilers() const;
  bool SomebodyWantsIn() const;
  bool MayGo(MemberId id) const;
  Orders LetGo(MemberId id, absl::Time now);
  std::string RegroupReason() const;
  std::vector<MemberId> Chosen() const;

  const Options options_;
  Phase phase_ = Phase::kForming;
  int64_t generation_ = 0;  // the current or last one; 0 = none yet
  bool formed_ = false;
  int world_size_ = 0;
  int64_t total_steps_ = 0;
  std::map<MemberId, Member> members_;
  absl::Time forming_since_;
  bool to_boundary_ =
      false;  // no rank is known to have come to where the last generation ends in good order
  bool without_model_ = false;  // the generation, so far
  bool told_waiting_ = false;
  bool given_up_ = false;  // the generation's ranks were told to give up the step that they are in
  int resets_ = 0;
  std::string last_end_;  // why the last generation ended
  int64_t last_start_step_ = -1;
  int fruitless_ = 0;  // generations in a row without a completed step
  int64_t serial_ = 0;
  std::optional<Wish> holding_;  // a Hold is out
  std::optional<Wish> next_;     // asked for meanwhile
  bool leaving_ =
      false;  // ranks of this generation were told where to stop: nothing else is agreed
};

/// "rank 2 (host node02, pid 4711)", "profiler 0 (host node01, pid 12)", for messages to people.
std::string Describe(const proto::ProcessInfo& process);

}  // namespace sluice
