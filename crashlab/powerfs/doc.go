// Package powerfs is a file system for tests that can lose power. It is mounted through
// FUSE, lives in memory, and knows of every file and folder two things: how programs see
// it now, and what a disk would still hold of it.
//
// An fsync of a file makes its data, size and attributes durable, not its name; an fsync of
// a folder makes the names in it durable, not what stands in the files. A rename is one
// step, across folders too. A cut of power keeps what is durable and, at random, some of
// the rest: each 512-byte sector on its own, sizes, and of each folder's later changes a
// prefix in their order. A folder whose name is lost takes along what is in it.
//
// After a cut every operation fails with EIO until Remount shows what survived.
//
// What it does not do: hard links, extended attributes, devices, syncfs. A file system is
// stricter than most journals: ext4, say, makes a new file's name durable with its data.
// A sector that was written several times since the last sync is lost or has its last
// content, none in between. Reads that the kernel answers from its cache come through after a
// cut too, and pages that a program has written through a shared mapping are known here
// once the program syncs them.
//
// A process that serves a mount and uses it too must not touch memory mapped from it, nor
// start programs in it: such a thread stops Go's scheduler while it waits for this very
// process.
package powerfs
