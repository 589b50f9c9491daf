package audit

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"so8t/disk"
)

// userIndex finds a user without naming it: a keyed hash of the key's name and the user's id.
type userIndex [16]byte

type salt [16]byte

// users are the salts by which users get their pseudonyms, as lines of index and salt in hex, for a million users. Whoever
// has a pseudonym and not its salt cannot tell whose it is. An erased user's salt is overwritten with zeros.
type users struct {
	mu    sync.Mutex
	file  *os.File
	size  int64 // on disk
	salts map[userIndex]userSalt
	dirty []byte // lines that are not on disk
}

type userSalt struct {
	salt
	at int64 // of the line
}

const userLine = 2*len(userIndex{}) + 1 + 2*len(salt{}) + 1

func (k *Keys) userIndex(key, user string) (i userIndex) {
	copy(i[:], mac(k.user, indexDomain, []byte(key), []byte(user)))
	return i
}

func openUsers(dir string) (u *users, err error) {
	path := filepath.Join(dir, usersName)
	u = &users{salts: map[userIndex]userSalt{}}
	if u.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, err
	}
	info, err := u.file.Stat()
	if err == nil {
		err = errors.Join(private(path, info), disk.SyncDir(dir), u.load())
	}
	if err != nil {
		return nil, errors.Join(err, u.file.Close())
	}
	return u, nil
}

// load reads the salts. Lines at the end that a crash has torn were never used: the next ones take their place.
func (u *users) load() error {
	in := bufio.NewReaderSize(u.file, 1<<16)
	var zero salt
	var l [userLine]byte
	for at := int64(0); ; at += int64(userLine) {
		_, err := io.ReadFull(in, l[:])
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
		i, s, ok := readUser(l[:])
		if !ok {
			continue
		}
		u.size = at + int64(userLine)
		if s != zero {
			u.salts[i] = userSalt{s, at}
		}
	}
}

func readUser(l []byte) (i userIndex, s salt, ok bool) {
	const space = 2 * len(i)
	_, errIndex := hex.Decode(i[:], l[:space])
	_, errSalt := hex.Decode(s[:], l[space+1:userLine-1])
	return i, s, errIndex == nil && errSalt == nil && l[space] == ' ' && l[userLine-1] == '\n'
}

// pseudonym returns the user's pseudonym, giving a new user a salt. The salt is on disk after the next flush.
func (u *users) pseudonym(i userIndex) string {
	u.mu.Lock()
	s, ok := u.salts[i]
	if !ok {
		_, _ = rand.Read(s.salt[:]) // never fails
		s.at = u.size + int64(len(u.dirty))
		u.salts[i] = s
		u.dirty = fmt.Appendf(u.dirty, "%x %x\n", i, s.salt)
	}
	u.mu.Unlock()
	return s.pseudonym(i)
}

func (s userSalt) pseudonym(i userIndex) string {
	return HMAC + ":" + hex.EncodeToString(mac(s.salt[:], userDomain, i[:]))
}

// flush brings new salts to disk.
func (u *users) flush() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.flushLocked()
}

func (u *users) flushLocked() error {
	if len(u.dirty) == 0 {
		return nil
	}
	if _, err := u.file.WriteAt(u.dirty, u.size); err != nil {
		return err
	}
	if err := (diskFile{u.file}).Datasync(); err != nil {
		return err
	}
	u.size += int64(len(u.dirty))
	u.dirty = u.dirty[:0]
	return nil
}

// erase forgets a user's salt, on disk too, and returns the pseudonym that nobody can tell any more; empty if there is none.
func (u *users) erase(i userIndex) (pseudonym string, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s, ok := u.salts[i]
	if !ok {
		return "", nil
	}
	if err := u.flushLocked(); err != nil {
		return "", err
	}
	zeros := bytes.Repeat([]byte("0"), 2*len(s.salt))
	if _, err := u.file.WriteAt(zeros, s.at+2*int64(len(i))+1); err != nil {
		return "", err
	}
	if err := (diskFile{u.file}).Datasync(); err != nil {
		return "", err
	}
	delete(u.salts, i)
	return s.pseudonym(i), nil
}

func (u *users) close() error { return u.file.Close() }

// RequestErasure leaves a request in the folder of the keys that the log carries out: within a second while it is open,
// else when it is opened next. done reports whether it has been.
func (k *Keys) RequestErasure(key, user string) (done func() bool, err error) {
	i := k.userIndex(key, user)
	path := filepath.Join(k.dir, erasePrefix+hex.EncodeToString(i[:]))
	if err := writeKey(path, ""); err != nil {
		return nil, err
	}
	return func() bool {
		_, err := os.Stat(path)
		return errors.Is(err, os.ErrNotExist)
	}, nil
}

// eraseRequested carries out the requests in the folder of the keys: first the salt goes, then the record is written, then
// the request goes.
func (l *Log) eraseRequested() error {
	dir := l.options.Keys.dir
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), erasePrefix)
		raw, err := hex.DecodeString(name)
		if !ok || err != nil || len(raw) != len(userIndex{}) {
			continue
		}
		pseudonym, err := l.users.erase(userIndex(raw))
		if err != nil {
			return err
		}
		detail := map[string]string{"user": pseudonym}
		if pseudonym == "" {
			detail = map[string]string{"user": "unknown"}
		}
		if err := l.commit([]*pending{event("erased", detail)}); err != nil {
			return err
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
