// Package powerfs is a file system, for tests, that can lose power. It is mounted through FUSE, lives in
// memory, and holds every file and folder twice: as programs see it now, and as a disk would have it
// after a loss of power.
//
// An fsync of a file makes its data, size and attributes durable, not its name; an fsync of a folder
// makes the names in it durable, not the contents of its files. A rename is atomic, across folders too.
// What is durable survives a cut of power; of the rest a random part does: each 512-byte sector on its
// own, sizes, and a prefix of each folder's later changes. All that is in a folder is lost with its name.
//
// After a cut every operation fails with EIO until Remount shows what survived.
//
// It has no hard links, extended attributes, devices or syncfs. It is stricter than most journals: ext4,
// for one, makes a new file's name durable with its data. A sector that was written several times since
// the last sync has its former or its last content, none in between. The kernel still answers reads from
// its cache after a cut, and what a program writes through a shared mapping arrives here once the program
// syncs it.
//
// A process that serves a mount must not touch memory mapped from it, nor start programs in it: the
// thread would wait for its own process, and Go's scheduler with it.
package powerfs
