// Package disk is how this program writes what must not be lost: files and folders that
// are replaced whole, the right to write into a folder, and the narrow places at which a
// crash is worth trying.
//
// A file or folder is written under a hidden name, synced, renamed, and its parent synced:
// a reader sees the former one or the new one, and after a loss of power there is one of
// the two. See Replace and ReplaceDir.
//
// A Lease says who may write. It is a file that its holder keeps locked and renews.
// A later attempt of the same owner takes it at once, even from a living holder, as the
// Temporal server has given up that attempt; anybody takes it from a dead holder, and from
// one that has not renewed it within its own timeout. Who lost a lease learns it at the
// next renewal, and at the latest at the next commit, which fails with ErrLeaseLost and
// changes nothing: commits and takeovers exclude each other.
package disk
