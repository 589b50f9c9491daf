package configs

import "encoding/json"

// Paths is one path, or a list of them. A single one is written as text, as runs before lists did.
type Paths []string

// MarshalJSON writes a single path as text.
func (p Paths) MarshalJSON() ([]byte, error) {
	switch len(p) {
	case 0:
		return []byte(`""`), nil
	case 1:
		return json.Marshal(p[0])
	}
	return json.Marshal([]string(p))
}

// UnmarshalJSON reads text or a list.
func (p *Paths) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*p = nil
		if one != "" {
			*p = Paths{one}
		}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(p))
}
