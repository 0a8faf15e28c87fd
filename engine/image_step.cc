// What images add to a step of the engine: before their tokens are read, the vision tower sees
// their tiles, some of them in each step.
#include <algorithm>
#include <limits>

#include "engine/engine_internal.h"

namespace fulmen {

// Tiles of the images that come next, one at least, until what prompts may take of a step is over.
// Beside answers under way it stays with one: they wait for it.
void Engine::EncodeImages(const std::vector<Scheduler::Item>& items) {
  if (!limits_.image_token) return;
  const double start = Now();
  const bool alone = std::ranges::none_of(items, [this](const Scheduler::Item& item) {
    const Sequence& sequence = answers_.at(item.id)->sequence;
    return sequence.position() >= sequence.prompt_size();
  });
  const double most_seconds = alone ? options_.scheduler.prompt_seconds : 0;
  for (const Scheduler::Item& item : items) {
    const Answer& answer = *answers_.at(item.id);
    const int64_t first = answer.sequence.position();
    Ticket& ticket = *answer.ticket;
    for (size_t i = 0; i < ticket.images.size(); ++i) {
      if (!ticket.images[i].IsIn(first, first + item.tokens)) continue;
      auto& features = ticket.features[i];
      if (features == nullptr) {
        features = std::make_unique<ImageFeatures>(ticket.images[i].image, *model_.config.vision,
                                                   compute_.context.scratch.memory());
      }
      while (features->tiles_left() > 0) {
        features->Encode(model_, compute_, 1);
        ++counts_.image_tiles;
        if (Now() - start >= most_seconds) return;
      }
    }
  }
}

// How many of its next tokens can be read: those before an image that is not ready.
int64_t Engine::Readable(const Answer& answer, int64_t tokens) const {
  const Ticket& ticket = *answer.ticket;
  const int64_t first = answer.sequence.position();
  for (size_t i = 0; i < ticket.images.size(); ++i) {
    if (!ticket.images[i].IsIn(first, first + tokens)) continue;
    const ImageFeatures* features = ticket.features[i].get();
    if (features == nullptr || features->tiles_left() > 0) {
      return std::max<int64_t>(0, ticket.images[i].first - first);
    }
  }
  return tokens;
}

void Engine::AddImages(const Member& member, int64_t first_row, ForwardBatch& forward) const {
  const Ticket& ticket = *member.answer->ticket;
  const int64_t first = member.answer->sequence.position();
  for (size_t i = 0; i < ticket.images.size(); ++i) {
    if (ticket.features[i] == nullptr) continue;
    AddImageRows(ticket.images[i], ticket.features[i]->matrix(), first, first + member.tokens,
                 first_row, forward);
  }
}

// One that is set back after this has them made again.
void Engine::ReleaseImages(Ticket& ticket) {
  if (ticket.images.empty()) return;
  int64_t read = std::numeric_limits<int64_t>::max();
  for (const auto& [id, answer] : answers_) {
    if (answer->ticket.get() == &ticket) read = std::min(read, answer->sequence.position());
  }
  for (size_t i = 0; i < ticket.images.size(); ++i) {
    if (ticket.images[i].end() <= read) ticket.features[i].reset();
  }
}

}  // namespace fulmen
