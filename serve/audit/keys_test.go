package audit

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestKeysAreMadeOnceAndArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "keys")
	first, err := LoadKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := LoadKeys(dir)
	must(t, err)
	if fmt.Sprint(first.Public(), first.IDs()) != fmt.Sprint(again.Public(), again.IDs()) || first.reasoningHash("a", nil) != again.reasoningHash("a", nil) {
		t.Fatal("other keys the second time")
	}
	entries, err := os.ReadDir(dir)
	must(t, err)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".key") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		for _, mode := range []os.FileMode{0o640, 0o604, 0o660} {
			must(t, os.Chmod(path, mode))
			if _, err := LoadKeys(dir); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("%s with mode %v: %v", e.Name(), mode, err)
			}
		}
		must(t, os.Chmod(path, 0o600))
	}
	o := Options{Dir: filepath.Dir(dir), Keys: again}
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "inside the log's folder") {
		t.Errorf("keys inside the log's folder: %v", err)
	}
	link := filepath.Join(t.TempDir(), "log")
	must(t, os.Symlink(dir, link))
	if _, err := Open(Options{Dir: link, Keys: again}); err == nil {
		t.Error("a link to the folder of the keys was taken for a log's")
	}
	if _, err := LoadKeys(filepath.Join(dir, "k1.key")); err == nil {
		t.Error("a file was taken for a folder of keys")
	}
	must(t, os.Remove(filepath.Join(dir, "k1.key")))
	if k, err := LoadKeys(dir); err == nil {
		t.Errorf("a lost key was made anew: %v", k.IDs())
	}
}

// A hash depends on key, id and text, and on where one ends and the other begins.
func TestMatch(t *testing.T) {
	o := logOptions(t)
	l := mustOpen(t, o)
	hash := answerOnce(t, l, 1)
	mustClose(t, l)
	a := anAnswer(1)
	check := func(k *Keys, value, id, text string, want bool) {
		t.Helper()
		if got, err := k.Match(value, id, []byte(text)); err != nil || got != want {
			t.Errorf("%s, %q: %v, %v", id, text, got, err)
		}
	}
	check(o.Keys, hash, a.ID, string(a.Reasoning), true)
	check(o.Keys, hash, "req_000002", string(a.Reasoning), false)
	check(o.Keys, hash, a.ID, string(a.Reasoning)+" ", false)
	check(o.Keys, hash, a.ID[:9], a.ID[9:]+string(a.Reasoning), false)
	check(o.Keys, o.Keys.promptHash(a.ID, a.Reasoning), a.ID, string(a.Reasoning), false)
	check(o.Keys, plainHash(a.Reasoning), a.ID, string(a.Reasoning), true)
	if found, ok, err := Find(o.Dir, a.ID); err != nil || !ok || found != hash {
		t.Errorf("%s, %v, %v", found, ok, err)
	}
	if _, ok, err := Find(o.Dir, "req_000009"); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	id, err := RotateHash(o.Keys.dir)
	if err != nil || id != "k2" {
		t.Fatal(id, err)
	}
	if _, err := RotateSigning(o.Keys.dir); err != nil {
		t.Fatal(err)
	}
	if o.Keys, err = LoadKeys(o.Keys.dir); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, o)
	newer := answerOnce(t, l, 2)
	mustClose(t, l)
	check(o.Keys, hash, a.ID, string(a.Reasoning), true)
	check(o.Keys, newer, "req_000002", string(a.Reasoning), true)
	if r := wantWhole(t, o); !strings.HasPrefix(newer, "hmac:k2:") || fmt.Sprint(r.KeyIDs) != "[k1 k2]" {
		t.Errorf("%s, %+v", newer, r)
	}
	if r := Verify(o.Dir, VerifyOptions{Keys: o.Keys.Public()[1:]}); r.Outcome != Altered || !strings.Contains(r.Why, ErrNoKey.Error()) {
		t.Errorf("without the older key: %+v", r)
	}
	other := logOptions(t)
	if _, err := other.Keys.Match(newer, "req_000002", nil); err == nil {
		t.Error("a key that is not there matched")
	}
	if _, err := Open(Options{Dir: o.Dir, Keys: other.Keys}); err == nil {
		t.Error("the log was opened with other keys")
	}
}

func userOf(t *testing.T, o Options, n int) string {
	t.Helper()
	for text := range strings.Lines(allOf(t, o)) {
		if _, rest, ok := strings.Cut(text, fmt.Sprintf(`"kind":"answer","id":"req_%06d","user":"`, n)); ok {
			user, _, _ := strings.Cut(rest, `"`)
			return user
		}
	}
	t.Fatalf("no answer %d", n)
	return ""
}

// An erased user's records stay, and the user's next ones bear another pseudonym.
func TestErase(t *testing.T) {
	o := logOptions(t)
	l := mustOpen(t, o)
	erase := func() {
		t.Helper()
		done, err := o.Keys.RequestErasure("team-a", "user-1")
		must(t, err)
		for end := time.Now().Add(5 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("not erased")
			}
		}
	}
	for _, n := range []int{1, 2, 8} { // user-1, user-2, user-1
		answerOnce(t, l, n)
	}
	first := userOf(t, o, 1)
	if first != userOf(t, o, 8) || first == userOf(t, o, 2) {
		t.Errorf("pseudonyms %s, %s, %s", first, userOf(t, o, 2), userOf(t, o, 8))
	}
	erase() // while it is open
	answerOnce(t, l, 15)
	mustClose(t, l)
	second := userOf(t, o, 15)
	if _, err := o.Keys.RequestErasure("team-a", "user-1"); err != nil { // while it is closed
		t.Fatal(err)
	}
	l = mustOpen(t, o)
	answerOnce(t, l, 22)
	answerOnce(t, l, 23)
	mustClose(t, l)
	if third := userOf(t, o, 22); first == second || second == third || first == third || userOf(t, o, 23) != userOf(t, o, 2) {
		t.Errorf("pseudonyms %s, %s, %s", first, second, third)
	}
	all := allOf(t, o)
	for _, user := range []string{first, second} {
		if !strings.Contains(all, `"kind":"erased","detail":{"user":"`+user+`"}`) {
			t.Errorf("no record says that %s was erased", user)
		}
	}
	wantWhole(t, o)
}

func TestPlainUsersAndHashes(t *testing.T) {
	o := logOptions(t)
	o.User, o.ReasoningHash = Plain, SHA256
	l := mustOpen(t, o)
	hash := answerOnce(t, l, 1)
	mustClose(t, l)
	if user := userOf(t, o, 1); user != "user-1" || hash != plainHash(anAnswer(1).Reasoning) || !strings.Contains(allOf(t, o), `"kind":"warning"`) {
		t.Errorf("%s, %s", user, hash)
	}
	if r := wantWhole(t, o); fmt.Sprint(r.KeyIDs) != "[sha256]" {
		t.Errorf("%v", r.KeyIDs)
	}
}

// Of the salts that a crash tears, none was used: the others stay.
func TestTornUsers(t *testing.T) {
	dir := t.TempDir()
	u, err := openUsers(dir)
	must(t, err)
	kept := u.pseudonym(userIndex{1})
	must(t, u.flush())
	u.pseudonym(userIndex{2})
	must(t, u.flush())
	must(t, u.close())
	path := filepath.Join(dir, usersName)
	text, err := os.ReadFile(path)
	must(t, err)
	for at := userLine; at < len(text); at++ {
		must(t, os.WriteFile(path, text[:at], 0o600))
		u, err := openUsers(dir)
		must(t, err)
		third := u.pseudonym(userIndex{3})
		must(t, u.flush())
		must(t, u.close())
		u, err = openUsers(dir)
		must(t, err)
		if u.pseudonym(userIndex{1}) != kept || u.pseudonym(userIndex{3}) != third || len(u.dirty) > 0 {
			t.Fatalf("torn at byte %d", at)
		}
		must(t, u.close())
	}
}

// A million users fit.
func TestManyUsers(t *testing.T) {
	const n = 100_000
	dir := t.TempDir()
	u, err := openUsers(dir)
	must(t, err)
	index := func(i int) (x userIndex) {
		copy(x[:], fmt.Sprintf("%016d", i))
		return x
	}
	first := u.pseudonym(index(0))
	for i := range n {
		u.pseudonym(index(i))
	}
	must(t, u.flush())
	must(t, u.close())
	began := time.Now()
	u, err = openUsers(dir)
	must(t, err)
	t.Logf("%d users read in %v", n, time.Since(began))
	if len(u.salts) != n || u.pseudonym(index(0)) != first {
		t.Errorf("%d users", len(u.salts))
	}
	must(t, u.close())
}
