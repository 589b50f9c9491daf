package policy

import (
	"strings"
	"unicode/utf8"

	"so8t/policy/robots"
)

// Judge applies the rules in order (nsfw, source_url, license, robots, pii, confidential) and returns the first that
// applies. Where none does, it masks in r.Texts what is to be masked.
func (p *Policy) Judge(r *Record) Verdict {
	for _, rule := range []func(*Record) Verdict{p.nsfw, p.sourceURL, p.license, p.storedRobots} {
		if v := rule(r); v.Result != Keep {
			return v
		}
	}
	var few [8]traits
	seen := few[:0]
	for _, t := range r.Texts {
		seen = append(seen, look(t.Text))
	}
	masking, v := p.personal(r, seen)
	if v.Result == Keep {
		v = p.confidential(r, seen) // of the texts as they came: a mask never hides a label
	}
	if v.Result == Keep && masking {
		v.Masks = p.mask(r)
	}
	return v
}

// nsfw lets marked records teach detection and refusal alone. One without a label cannot be shown to do so.
func (p *Policy) nsfw(r *Record) Verdict {
	switch {
	case !r.NSFW:
		return Verdict{}
	case p.options.NSFW == "drop" || r.Label == "":
		return Verdict{Result: Remove, Rule: "nsfw"}
	case r.Label == "ALLOW":
		return Verdict{Result: Bad, Rule: "nsfw_allowed"}
	}
	return Verdict{}
}

// sourceURL is asked only where something depends on it.
func (p *Policy) sourceURL(r *Record) Verdict {
	if p.robots == nil || r.SourceURL == "" {
		return Verdict{}
	}
	if _, ok := robots.Authority(r.SourceURL); !ok {
		return Verdict{Result: Bad, Rule: "source_url"}
	}
	return Verdict{}
}

func (p *Policy) license(r *Record) Verdict {
	switch license := strings.TrimSpace(r.License); {
	case len(p.licenses) == 0:
	case license == "":
		if p.options.LicenseMissing == "drop" {
			return Verdict{Result: Remove, Rule: "license_missing"}
		}
	case !p.licenses.permit(license):
		return Verdict{Result: Remove, Rule: "license"}
	}
	return Verdict{}
}

func (p *Policy) storedRobots(r *Record) Verdict {
	if p.robots == nil || r.SourceURL == "" {
		return Verdict{}
	}
	name, _ := robots.Authority(r.SourceURL)
	answer, ok := p.robots.Answer(name)
	if !ok {
		return Verdict{Result: Remove, Rule: "robots_missing"}
	}
	for _, agent := range p.options.RobotsAgents {
		if !answer.Allowed(agent, r.SourceURL) {
			return Verdict{Result: Remove, Rule: "robots"}
		}
	}
	if p.options.ContentSignals == "honour" && answer.RefusesTraining() {
		return Verdict{Result: Remove, Rule: "content_signal"}
	}
	return Verdict{}
}

// action is what becomes of a record with personal data of a kind: drop, mask or keep.
func (p *Policy) action(kind string) string {
	if action, ok := p.options.PIIKinds[kind]; ok {
		return action
	}
	return p.options.PII
}

// personal removes a record for the first value whose kind is dropped; masking says that some value is to be masked.
func (p *Policy) personal(r *Record, seen []traits) (masking bool, v Verdict) {
	if p.keepsPersonal {
		return false, Verdict{}
	}
	for i, t := range r.Texts {
		if !seen[i].personal() {
			continue
		}
		for _, f := range readPersonal(t.Text) {
			switch p.action(f.kind) {
			case "drop":
				return false, Verdict{Result: Remove, Rule: "pii:" + f.kind, At: spanOf(t, f.start, f.end)}
			case "mask":
				masking = true
			}
		}
	}
	return masking, Verdict{}
}

func (p *Policy) confidential(r *Record, seen []traits) Verdict {
	if p.options.Confidential != "drop" {
		return Verdict{}
	}
	for i, t := range r.Texts {
		if !seen[i].confidential() {
			continue
		}
		if start, end, marked := readMarkers(t.Text); marked {
			return Verdict{Result: Remove, Rule: "confidential", At: spanOf(t, start, end)}
		}
	}
	return Verdict{}
}

func (p *Policy) mask(r *Record) (all []Mask) {
	for i := range r.Texts {
		t := &r.Texts[i]
		text, masks := maskPersonal(t.Text, func(kind string) bool { return p.action(kind) == "mask" })
		for _, m := range masks {
			m.Field = t.Field
			all = append(all, m)
		}
		t.Text = text
	}
	return all
}

// spanOf counts the characters of bytes start to end of a text.
func spanOf(t Text, start, end int) Span {
	return Span{t.Field, utf8.RuneCountInString(t.Text[:start]), utf8.RuneCountInString(t.Text[start:end])}
}
