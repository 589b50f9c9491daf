package robots

import (
	"crypto/sha256"
	"time"
)

// Answer is what an authority answered when its robots.txt was asked for.
type Answer struct {
	Status int   // of HTTP; 0: no answer
	File   *File // nil: no text
}

// Allowed reports whether the agent may fetch the URL, by status (RFC 9309, 2.3.1) and text. A redirect that was not
// followed tells nothing, and is taken as no answer.
func (a Answer) Allowed(agent, rawURL string) bool {
	switch {
	case a.Status >= 400 && a.Status < 500:
		return true // unavailable
	case a.Status < 200 || a.Status > 299 || a.File == nil:
		return false // unreachable: complete disallow
	}
	return a.File.Allowed(agent, rawURL)
}

// RefusesTraining reports whether the text holds Content-Signal: ai-train=no.
func (a Answer) RefusesTraining() bool {
	return a.Status >= 200 && a.Status <= 299 && a.File != nil && a.File.RefusesTraining()
}

// Entry describes what is stored for an authority.
type Entry struct {
	File      string            // below the store's folder, with slashes
	SHA256    [sha256.Size]byte // of the text's first MaxSize+1 bytes: of all of it, where all is parsed
	Status    int
	FetchedAt time.Time // zero: not said
	FinalURL  string
}

// Store holds the answers of authorities. It is safe for concurrent use.
type Store interface {
	// Entry describes what is stored; false: nothing is, or what is stored is too old.
	Entry(authority string) (Entry, bool)
	// Answer is what is stored; false as for Entry, or because the file is no longer the one that was described.
	Answer(authority string) (Answer, bool)
	// Digest covers everything that an answer may depend on.
	Digest() [sha256.Size]byte
	// Err is the first file that could not be read, or was no longer the one described, when an answer was asked for.
	Err() error
}
