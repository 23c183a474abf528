#include "store/store.h"

namespace millet {

Status commit_batch(Store& store, const StoreBatch& batch) {
  TRY_ASSIGN(std::unique_ptr<StoreTransaction> transaction, store.begin_write());
  for (const StoreChange& change : batch) {
    if (change.value) {
      TRY(transaction->put(change.table, change.key, *change.value));
    } else {
      TRY(transaction->erase(change.table, change.key));
    }
  }
  return transaction->commit();
}

}  // namespace millet
