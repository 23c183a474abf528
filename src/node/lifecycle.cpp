#include "node/lifecycle.h"

#include "node/memory_use.h"

namespace millet {
namespace {

constexpr size_t k_root_size_max = 4096;                 // PATH_MAX of Linux
constexpr Duration k_look_every = Duration::minutes(1);  // names alone: that wakes no disk, and who plugs one in waits no longer

// The first file that should be there and is not. A download may lack what it never had, and all that its owner gives up by verifying it.
const TorrentFile* missing_file(const Torrent& torrent, const FileStates& files) {
  for (size_t i = 0; i < files.size(); ++i) {
    if (torrent.files[i].size == 0 || files[i]) continue;
    bool was_there = torrent.files_committed[i].has_value() && !torrent.recheck;
    if (torrent.seed || was_there) return &torrent.files[i];
  }
  return nullptr;
}

bool has_short_file(const Torrent& torrent, const FileStates& files) {
  for (size_t i = 0; i < files.size(); ++i) {
    if (files[i] && files[i]->size < torrent.files[i].size) return true;
  }
  return false;
}

}  // namespace

Result<Torrent*> Lifecycle::find(const InfoHash& hash) {
  Torrent* torrent = core_.find_torrent(hash);
  if (torrent == nullptr) return error(Errc::not_found, "there is no torrent " + hash.hex());
  return torrent;
}

// ---- commands ----

// Those that an earlier run had are kept in any case; a budget that has become smaller takes no more.
Status Lifecycle::check_room(const Torrent& torrent) const {
  const MemoryPlan& plan = core_.plan();
  uint64_t together = memory_of_torrents(core_) + memory_of(torrent);
  if (together <= uint64_t{plan.torrents_kib} * 1024) return ok;
  return error(Errc::no_room, "torrents may take " + std::to_string(plan.torrents_kib) + " KiB of memory, and with this one would take " +
                                  std::to_string(together / 1024) + ": raise node.memory, now " + std::to_string(core_.config.memory_mib) +
                                  " MiB, or remove other torrents");
}

Result<InfoHash> Lifecycle::add(Instant now, const AddTorrent& request) {
  TRY_ASSIGN(std::unique_ptr<Torrent> made, parts_.store.make(request.metainfo));
  std::string root = request.root.empty() ? core_.config.data : request.root;
  if (root.empty()) return error(Errc::bad_input, "no folder for the payload: give one with --data, or set node.data");
  if (root.size() > k_root_size_max) return error(Errc::bad_input, "the payload folder's path is longer than 4096 bytes");
  // Not only where the state is there now: a node that looks for it there later would take what lies there for its own.
  if (made->name == ".millet") return error(Errc::bad_input, "the torrent is named '.millet', as a node's state folder is: it is refused");
  if (Torrent* known = core_.find_torrent(made->info_hash)) {
    if (known->root == root) return known->info_hash;
    return error(Errc::conflict, "torrent " + made->info_hash.hex() + " is here already with its payload in " + known->root +
                                     "; remove it first to use " + root);
  }
  made->root = root;
  made->budget = request.budget;
  made->max_rate = request.max_rate;
  made->paused = request.paused;
  made->seed = request.seed;
  made->user_peers = request.peers;
  TRY(check_room(*made));
  parts_.store.save_new(*made, request.metainfo);
  InfoHash hash = made->info_hash;
  LogLine(core_.log, LogLevel::info, "torrent_added").add("torrent", hash.hex()).add("name", made->name).add("root", root);
  adopt(now, std::move(made));
  return hash;
}

void Lifecycle::adopt(Instant now, std::unique_ptr<Torrent> made) {
  Torrent& torrent = core_.torrents.insert(std::move(made));
  torrent.handle = core_.torrents.next_handle() - 1;
  for (const Endpoint& peer : torrent.user_peers) torrent.peer_list.add(now, peer, PeerSource::user);
  if (torrent.has_record) torrent.have = torrent.resume.durable();
  core_.act(OpenTorrent{torrent.handle, torrent.root, torrent.files, torrent.layout.nominal_piece_size()});
  if (!torrent.paused) start(now, torrent);
}

Status Lifecycle::remove(Instant now, const InfoHash& hash, bool delete_data) {
  TRY_ASSIGN(Torrent * torrent, find(hash));
  stop(now, *torrent, "the torrent was removed");
  parts_.downloads.end(*torrent);
  parts_.connections.close_doomed(now);
  parts_.announcing.forget(now, *torrent);
  parts_.store.erase(*torrent);
  core_.torrent_deadlines.disarm(torrent->handle);
  core_.act(CloseTorrent{torrent->handle, delete_data});
  LogLine(core_.log, LogLevel::info, "torrent_removed").add("torrent", hash.hex()).add("name", torrent->name);
  core_.torrents.erase(torrent->handle);
  core_.money_changed.insert(hash);
  return ok;
}

Status Lifecycle::verify(Instant now, const InfoHash& hash) {
  TRY_ASSIGN(Torrent * torrent, find(hash));
  stop(now, *torrent, "the torrent is being verified");
  parts_.downloads.end(*torrent);
  torrent->recheck = true;
  torrent->known = false;
  torrent->error.clear();
  torrent->missing = false;
  torrent->have.clear_all();
  if (!torrent->paused) start(now, *torrent);
  return ok;
}

Status Lifecycle::pause(Instant now, const InfoHash& hash) {
  TRY_ASSIGN(Torrent * torrent, find(hash));
  if (torrent->paused) return ok;
  torrent->paused = true;
  parts_.store.save_settings(*torrent);
  stop(now, *torrent, "the torrent was paused");
  return ok;
}

Status Lifecycle::resume(Instant now, const InfoHash& hash) {
  TRY_ASSIGN(Torrent * torrent, find(hash));
  if (torrent->paused) {
    torrent->paused = false;
    parts_.store.save_settings(*torrent);
  }
  if (torrent->phase == TorrentPhase::stopped) {
    start(now, *torrent);
  } else if (torrent->disk_trouble) {
    torrent->error.clear();  // it comes back if there still is no room
    torrent->retry_at = now;
    core_.torrent_deadlines.arm(torrent->handle, now);
  }
  torrent->peer_list.retry_all(now);
  torrent->announcer.want_peers(now);
  core_.torrent_deadlines.arm(torrent->handle, torrent->announcer.next_deadline());
  core_.dial_wanted = true;
  return ok;
}

Status Lifecycle::set(const InfoHash& hash, const TorrentSettings& settings) {
  TRY_ASSIGN(Torrent * torrent, find(hash));
  if (settings.budget) torrent->budget = settings.budget;
  if (settings.max_rate) torrent->max_rate = settings.max_rate;
  if (settings.reserve) torrent->reserve = settings.reserve;
  if (settings.speed_enabled) torrent->speed_enabled = settings.speed_enabled;
  core_.money_changed.insert(hash);
  core_.greet_again = true;
  parts_.store.save_settings(*torrent);
  return ok;
}

// ---- starting ----

void Lifecycle::start(Instant now, Torrent& torrent) {
  CHECK(torrent.phase == TorrentPhase::stopped);
  torrent.error.clear();
  torrent.missing = false;
  torrent.look_at = Instant::never();
  if (torrent.known) {
    activate(now, torrent);
    return;
  }
  torrent.phase = TorrentPhase::looking;
  torrent.walk = VerifyWalk();  // the last check's is no progress of this one
  look(torrent);
}

// What is still being written must not change a piece after it was hashed.
void Lifecycle::look(Torrent& torrent) {
  if (torrent.writes_open > 0 || torrent.sync_ticket != 0 || torrent.files_ticket != 0) return;
  torrent.files_ticket = core_.new_ticket(TicketKind::files);
  core_.act(CheckFiles{torrent.files_ticket, torrent.handle});
}

void Lifecycle::on_idle(Torrent& torrent) {
  if (torrent.phase == TorrentPhase::looking) look(torrent);
}

void Lifecycle::on_files_checked(Instant now, Ticket ticket, const Result<FileStates>& files) {
  for (Torrent& torrent : core_.torrents) {
    if (torrent.files_ticket != ticket) continue;
    torrent.files_ticket = 0;
    if (torrent.phase == TorrentPhase::stopped) return on_looked_again(now, torrent, files);
    if (torrent.phase != TorrentPhase::looking) return;
    if (!files) return fail(now, torrent, files.error().reason);
    CHECK(files->size() == torrent.files.size());
    return plan(now, torrent, *files);
  }
}

void Lifecycle::plan(Instant now, Torrent& torrent, const FileStates& files) {
  // The record stays as it was: when they are back unchanged, nothing is hashed.
  if (const TorrentFile* file = missing_file(torrent, files)) return wait_for_files(now, torrent, *file);
  ResumeRecord record;
  torrent.resume.fill(record);
  bool trust_record = torrent.has_record && !torrent.recheck;
  ResumePlan plan = plan_resume(torrent.layout, trust_record ? &record : nullptr, torrent.files_committed, files);
  torrent.files_now = files;
  torrent.have = plan.have;
  torrent.changed = !trust_record || plan.check.count() > 0 || plan.have.count() != record.have.count() || !record.leased.empty();
  torrent.vouched = plan.have;
  torrent.walk = VerifyWalk(std::move(plan.check));
  torrent.bad_in_check = 0;
  torrent.first_bad.reset();
  torrent.phase = TorrentPhase::checking;
  if (torrent.walk.total() > 0) {
    LogLine(core_.log, LogLevel::info, "checking")
        .add("torrent", torrent.info_hash.hex())
        .add("name", torrent.name)
        .add("pieces", torrent.walk.total());
  }
  parts_.connections.greet_all(torrent);
  check_is_over(now, torrent);
}

void Lifecycle::on_piece_checked(Instant now, Ticket ticket, const Result<Sha1Digest>& digest) {
  Verification::Outcome outcome = parts_.verification.on_hashed(ticket, digest);
  if (outcome.torrent == nullptr) return;
  Torrent& torrent = *outcome.torrent;
  if (outcome.failure) return fail(now, torrent, outcome.failure->reason);
  if (outcome.good) {
    torrent.have.set(*outcome.good);
    for (PeerHandle handle : torrent.peers) {
      Peer* peer = core_.peers.find(handle);
      if (peer == nullptr || !peer->is_open()) continue;
      peer->session->send_have(*outcome.good);
      core_.pull(*peer);
    }
  }
  check_is_over(now, torrent);
}

bool Lifecycle::check_is_over(Instant now, Torrent& torrent) {
  if (!torrent.walk.done()) return false;
  finish_check(now, torrent);
  return true;
}

void Lifecycle::finish_check(Instant now, Torrent& torrent) {
  if (torrent.walk.total() > 0) {
    LogLine(core_.log, LogLevel::info, "checked")
        .add("torrent", torrent.info_hash.hex())
        .add("good", torrent.walk.total() - torrent.bad_in_check)
        .add("bad", torrent.bad_in_check);
  }
  if (!torrent.is_complete() && torrent.seed) return report_damage(now, torrent);
  torrent.known = true;
  torrent.recheck = false;
  adopt_check(torrent);
  activate(now, torrent);
}

void Lifecycle::adopt_check(Torrent& torrent) {
  ResumeRecord record;
  torrent.resume.fill(record);
  // After a crash, what a check found good may be in the page cache only: it is synced before the record vouches for it.
  bool sync_first = !record.leased.empty();
  ResumeState checked(torrent.vouched);
  for (uint32_t piece = 0; piece < torrent.have.size(); ++piece) {
    if (!torrent.have.test(piece) || torrent.vouched.test(piece)) continue;
    if (sync_first) {
      checked.lease(piece);
      checked.verified(piece);
    } else {
      checked.found(piece);
    }
  }
  torrent.resume = std::move(checked);
  torrent.vouched = {};
}

void Lifecycle::activate(Instant now, Torrent& torrent) {
  torrent.phase = TorrentPhase::active;
  if (torrent.is_complete()) {
    torrent.changed = torrent.changed || !torrent.seed;
    torrent.seed = true;
  } else if (torrent.picker == nullptr) {
    parts_.downloads.begin(torrent);
  }
  if (torrent.changed) {
    parts_.store.save_resume(torrent);
    torrent.changed = false;
  }
  parts_.downloads.sync(torrent);
  parts_.connections.greet_all(torrent);
  if (torrent.is_complete()) parts_.connections.drop_seeds(now, torrent);
  parts_.announcing.start(now, torrent);
  core_.hungry.insert(torrent.handle);
  LogLine(core_.log, LogLevel::info, torrent.is_complete() ? "seeding" : "downloading")
      .add("torrent", torrent.info_hash.hex())
      .add("name", torrent.name);
}

void Lifecycle::on_complete(Instant now, Torrent& torrent) {
  if (!torrent.is_complete() || torrent.picker == nullptr) return;
  parts_.downloads.end(torrent);
  torrent.seed = true;
  parts_.downloads.sync(torrent);
  parts_.announcing.complete(now, torrent);
  for (PeerHandle handle : torrent.peers) {
    Peer* peer = core_.peers.find(handle);
    if (peer == nullptr || !peer->is_open()) continue;
    peer->wanted = 0;
    peer->session->send_interested(false);
    core_.pull(*peer);
  }
  parts_.connections.drop_seeds(now, torrent);
  core_.slots_changed = true;
  LogLine(core_.log, LogLevel::info, "complete").add("torrent", torrent.info_hash.hex()).add("name", torrent.name);
}

// ---- waiting for files ----

void Lifecycle::wait_for_files(Instant now, Torrent& torrent, const TorrentFile& file) {
  bool known_before = torrent.missing;
  if (torrent.phase != TorrentPhase::stopped) stop(now, torrent, "the payload is not there");
  parts_.downloads.end(torrent);
  torrent.known = false;
  torrent.missing = true;
  const std::string hash = torrent.info_hash.hex();
  torrent.error = file.path + " is missing in " + torrent.root +
                  "; mount its disk or put it back: the torrent goes on within a minute, or at once with 'millet resume " + hash +
                  "'. If it is lost: " +
                  (torrent.seed ? "remove the torrent and add it again without --seed to download it"
                                : "'millet verify " + hash + "' downloads it again");
  look_later(now, torrent);
  if (known_before) return;
  LogLine(core_.log, LogLevel::error, "torrent_stopped").add("torrent", hash).add("name", torrent.name).add("reason", torrent.error);
}

void Lifecycle::look_later(Instant now, Torrent& torrent) {
  torrent.look_at = now + k_look_every;
  core_.torrent_deadlines.arm(torrent.handle, torrent.look_at);
}

void Lifecycle::on_timer(Instant now, Torrent& torrent) {
  if (torrent.look_at > now) return core_.torrent_deadlines.arm(torrent.handle, torrent.look_at);
  torrent.look_at = Instant::never();
  if (torrent.phase != TorrentPhase::stopped || torrent.error.empty() || torrent.paused || core_.shutting_down) return;
  look(torrent);
  if (torrent.files_ticket == 0) look_later(now, torrent);  // something is still being written
}

// Of a torrent that stands still with an error: one whose files are not there waits for them, also if reading them failed before that was
// known; one that waited goes on when they are there in full.
void Lifecycle::on_looked_again(Instant now, Torrent& torrent, const Result<FileStates>& files) {
  if (torrent.error.empty() || torrent.paused || core_.shutting_down) return;
  if (!files) return look_later(now, torrent);
  CHECK(files->size() == torrent.files.size());
  if (const TorrentFile* file = missing_file(torrent, *files)) return wait_for_files(now, torrent, *file);
  bool being_copied = torrent.seed && has_short_file(torrent, *files);
  if (!torrent.missing || being_copied) return look_later(now, torrent);
  start(now, torrent);
}

// ---- standing still ----

void Lifecycle::stop(Instant now, Torrent& torrent, const char* reason) {
  parts_.connections.drop_all(torrent, reason);
  parts_.downloads.release_peers(torrent);
  parts_.verification.forget(torrent);
  parts_.announcing.stop(now, torrent);
  torrent.phase = TorrentPhase::stopped;
}

void Lifecycle::fail(Instant now, Torrent& torrent, const std::string& reason) {
  if (torrent.phase == TorrentPhase::stopped) return;
  stop(now, torrent, "the payload can't be used");
  parts_.downloads.end(torrent);
  torrent.known = false;
  torrent.error = reason + "; put it right, then 'millet resume " + torrent.info_hash.hex() + "'";
  look_later(now, torrent);  // it may be the first sign of a disk that was taken away
  LogLine(core_.log, LogLevel::error, "torrent_stopped")
      .add("torrent", torrent.info_hash.hex())
      .add("name", torrent.name)
      .add("reason", torrent.error);
}

// The payload is the owner's, and it is not what the torrent says: nothing is written over it.
void Lifecycle::report_damage(Instant now, Torrent& torrent) {
  std::string what;
  for (uint32_t i = 0; i < torrent.files.size() && what.empty(); ++i) {
    const TorrentFile& file = torrent.files[i];
    if (file.size == 0) continue;
    const std::optional<FileState>& state = torrent.files_now[i];
    if (state && state->size < file.size) {
      what =
          file.path + " in " + torrent.root + " has " + std::to_string(state->size) + " bytes and should have " + std::to_string(file.size);
    }
  }
  if (what.empty()) {
    uint32_t piece = torrent.first_bad.value_or(0);
    FileExtent extent;
    ExtentWalk walk = torrent.layout.extents(piece, 0, torrent.layout.piece_size(piece));
    walk.next(extent);
    what = torrent.files[extent.file].path + " in " + torrent.root + " is not what the torrent says (" +
           std::to_string(torrent.bad_in_check) + " of " + std::to_string(torrent.layout.piece_count()) +
           " pieces are wrong, the first is piece " + std::to_string(piece) + ")";
  }
  stop(now, torrent, "the payload is damaged");
  torrent.known = false;  // the record stays as it was: the next start compares the files with it again
  torrent.error = what + "; restore it, then 'millet verify " + torrent.info_hash.hex() +
                  "', or remove the torrent and add it again without --seed to download what is missing";
  LogLine(core_.log, LogLevel::error, "torrent_stopped")
      .add("torrent", torrent.info_hash.hex())
      .add("name", torrent.name)
      .add("reason", torrent.error);
}

}  // namespace millet
