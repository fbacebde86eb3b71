// Space of a volume, from the extents of its files. Called by every driver's usage().
#pragma once

#include "storage/volume_driver.h"

namespace pgtwig::storage {

// Walks the volume and asks for the extents of each file (FIEMAP): those that no other file or volume shares are what
// destroying it gives back. Where the file system keeps no extents, all is unique. A file with several names counts
// once; what vanishes meanwhile does not count.
VolumeUsage extent_usage(int volume);

}  // namespace pgtwig::storage
