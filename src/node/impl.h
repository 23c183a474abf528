// The composition of a node: its parts, and the order in which an input's consequences are settled.
#pragma once

#include "node/announcing.h"
#include "node/choking.h"
#include "node/connections.h"
#include "node/core.h"
#include "node/downloads.h"
#include "node/lifecycle.h"
#include "node/payments.h"
#include "node/persistence.h"
#include "node/torrent_store.h"
#include "node/uploads.h"
#include "node/verification.h"

namespace millet {

class Node::Impl {
 public:
  // Counters of uploads reach the store at most so often: a router's flash has to last.
  static constexpr Duration k_counters_every = Duration::minutes(5);
  // Trackers that do not answer do not keep the program from ending.
  static constexpr Duration k_shut_down_time = Duration::seconds(5);
  // Nor does a disk that takes nothing: what is lost then is what a crash loses, which is nothing that counts.
  static constexpr Duration k_give_up_time = Duration::seconds(20);

  Impl(const NodeConfig& config, const NodeIdentity& identity, SecureRandom& random, LogSink& log)
      : core(config, identity, random, log), device(device_options(config)), persistence(core), store(core, persistence),
        verification(core), announcing(core), payments(core, persistence), uploads(core, payments),
        downloads(core, store, persistence, payments), choking(core, payments), connections(core, uploads, downloads, payments),
        lifecycle({core, store, verification, downloads, announcing, connections}) {}

  // A block that went out has led to something.
  bool has_marks() const { return core.slots_changed || !core.doomed.empty() || payments.wants_auction() || !persistence.is_flushed(); }
  // Everything that the last input led to.
  void settle(Instant now);
  void on_timer(Instant now);
  Instant next_deadline() const;
  void shut_down(Instant now);
  Status set_config(Instant now, const NodeConfig& config);

  // What a command has changed is to be durable before anybody is told that it is done.
  void note_command() { commands_commit = persistence.last(); }

  // What the device tells now; the settings are followed as far as it allows.
  void on_device(Instant now, const DeviceReadings& readings);

  Core core;
  DevicePolicy device;
  Persistence persistence;
  TorrentStore store;
  Verification verification;
  Announcing announcing;
  Payments payments;
  Uploads uploads;
  Downloads downloads;
  Choking choking;
  Connections connections;
  Lifecycle lifecycle;
  uint64_t commands_commit = 0;

 private:
  bool settle_marks(Instant now);
  static DevicePolicyOptions device_options(const NodeConfig& config);
  DeviceUse device_use(Instant now);
  void follow(Instant now, const DeviceLimits& before);
  void log_device(const DeviceLimits& before);
  void note_earnings();
  void save_counters();
  void continue_shut_down(Instant now);
  bool save_last_records();
  Instant shut_down_deadline() const;

  Instant counters_at_ = Instant::never();
  uint64_t counted_ = 0;  // bytes moved when counters were saved last
  Instant shut_down_at_ = Instant::never();
  bool trackers_given_up_ = false;
  bool state_saved_ = false;  // the last records are on their way
  bool done_told_ = false;
};

}  // namespace millet
