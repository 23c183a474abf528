#include "hal/sim/board.h"

#include "hal/sim/world.h"

namespace millet::sim {

Board::Board(World& world) : world_(world), sensors_{this}, watchdogs_{this} { world_.add_target(*this); }

Board::~Board() { world_.remove_target(*this); }

void Board::alarm() { world_.schedule(Duration(), *this, 0); }

void Board::on_event(uint32_t, uint64_t, uint64_t) {
  if (events_ != nullptr) events_->on_board_changed();
}

void Board::read(DeviceReadings& into) {
  into = readings;
  ++looks_;
}

void Board::feed() {
  ++feeds_;
  released_ = false;
}

}  // namespace millet::sim
