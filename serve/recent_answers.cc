#include "serve/recent_answers.h"

namespace fulmen {
namespace {

size_t SizeOf(const KeptAnswer& answer) {
  constexpr size_t kAround = 512;  // what it takes besides its texts
  return kAround + answer.body.size() + 2 * (answer.name.key.size() + answer.name.name.size());
}

}  // namespace

void RecentAnswers::Keep(KeptAnswer answer, Clock::time_point now) {
  const Id id(answer.name.key, answer.name.name);
  if (const auto older = by_id_.find(id); older != by_id_.end()) Remove(older->second);
  bytes_ += SizeOf(answer);
  by_id_[id] = entries_.insert(entries_.end(), {std::move(answer), now});
  Forget(now);
}

const KeptAnswer* RecentAnswers::Find(const std::string& key, const std::string& name,
                                      Clock::time_point now) {
  Forget(now);
  const auto found = by_id_.find({key, name});
  return found == by_id_.end() ? nullptr : &found->second->answer;
}

void RecentAnswers::Forget(Clock::time_point now) {
  while (!entries_.empty() &&
         (bytes_ > limits_.bytes || now - entries_.front().kept >= limits_.age)) {
    Remove(entries_.begin());
  }
}

void RecentAnswers::Remove(std::list<Entry>::iterator entry) {
  bytes_ -= SizeOf(entry->answer);
  by_id_.erase({entry->answer.name.key, entry->answer.name.name});
  entries_.erase(entry);
}

}  // namespace fulmen
