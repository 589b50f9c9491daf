// Package disk writes what must not be lost: it replaces files and folders whole, leases folders to
// one writer at a time, and names the points at which tests crash the program.
//
// A file or folder is written under a hidden name, synced, renamed, and its parent synced:
// a reader sees the former one or the new one, and so does whoever looks after a loss of power.
// See Replace and ReplaceDir.
//
// A Lease is the right to write into a folder: a file that its holder locks and renews. A later
// attempt of the same owner takes it at once, even from a living holder, as the Temporal server has
// given up the earlier attempt. Anybody takes it from a dead holder, and from one that has not renewed
// it within its own timeout. A holder that lost its lease learns so at its next renewal, or at its next
// commit, which fails with ErrLeaseLost and changes nothing: commits and takeovers exclude each other.
package disk
