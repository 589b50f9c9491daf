// Package checkpoint keeps a training run's state on disk so that no crash, at
// any instant, loses more than what came after the last save.
//
// # Concepts
//
// A checkpoint is a folder, checkpoint_epoch_{E}_step_{S}, that appears whole
// or not at all. It holds state.safetensors (every tensor of the run's state),
// metrics.json (what the trainer wants to remember) and manifest.json, written
// last: format version, identity, position, reason, time, the versions that computed it, and size
// and SHA-256 of the other two. The manifest ends with the SHA-256 of its own text.
//
// A Store is the folder of one run's checkpoints. Save writes into a hidden
// folder beside the others, syncs each file and the folder, renames it and syncs the
// parent. Latest reads the newest checkpoint, checks every byte against the
// manifest, and falls back to the next older one if anything differs; what it
// rejected is logged and returned. "Newest" is by optimizer step.
//
// A second save at the same position replaces the first if it differs, and does
// nothing if it does not. In between, the first is under a hidden name, from
// which OpenStore brings it back after a crash.
//
// Rotation leaves at most MaxCheckpoints. It first reads back the newest
// and deletes only what is older than the newest one that verifies. A checkpoint
// gets a hidden name before it is deleted, so that half of one is never loaded.
//
// An Identity says which run a checkpoint belongs to: workflow, configuration,
// base model, dataset. Latest refuses those of another run (IdentityError).
//
// Only the holder of the disk.Lease may write; without it a commit fails and changes nothing.
//
// # Caveats
//
// SaveBehind holds up to two states until they are written. A State must not be
// changed once it was handed over.
//
// A store without a lease neither cleans up after crashed saves nor guards
// against a second writer; it is meant for looking, and for tests.
//
// Leftovers of crashes (hidden folders) are removed when the store is next opened with a lease.
package checkpoint
