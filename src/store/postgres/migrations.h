// The schema of the PostgreSQL store, as steps from one version to the next. Not for use outside store/postgres and its tests.
#pragma once

#include "store/postgres/link.h"

namespace millet {

// Brings the database of a connection to version `target`, in one transaction; a second process waits for the first.
// Errors: unsupported (the database is of a newer program), denied, io.
Status migrate(PgLink& link, int target);
// What this program uses.
int newest_schema();

}  // namespace millet
