package policy

import "unicode/utf8"

// traits are what one look at a text sees of the characters that rules begin with. Most texts have none of a rule's, and are
// not folded for it.
type traits uint16

const (
	hasDigit    traits = 1 << iota // a digit or an @
	hasNumeral                     // a kanji digit
	hasZero                        // a kanji zero
	hasPlace                       // the end of a municipality's name
	hasMarker                      // 秘, ㊙, or an English marker's letters
	mayBegin                       // a letter that English markers begin with
	hasBan                         // 禁 of 持出禁止
	hasCarry                       // 持
	hasCare                        // 注 of 取扱注意
	hasHandling                    // 取
)

// personal tells whether the text may hold personal data. Kanji digits alone make telephone numbers, which begin with a zero, and
// numbers of houses.
func (t traits) personal() bool {
	return t&(hasDigit|hasZero) != 0 || t&(hasNumeral|hasPlace) == hasNumeral|hasPlace
}

// confidential tells whether a marker may stand in the text.
func (t traits) confidential() bool {
	return t&hasMarker != 0 || t&(hasBan|hasCarry) == hasBan|hasCarry || t&(hasCare|hasHandling) == hasCare|hasHandling
}

// traitsOf lists the traits by character; all of them are in the basic plane.
var traitsOf = func() *[1 << 16]traits {
	table := new([1 << 16]traits)
	for _, row := range []struct {
		characters string
		has        traits
	}{
		{"0123456789@０１２３４５６７８９＠", hasDigit}, {"一二三四五六七八九", hasNumeral}, {"〇零○", hasNumeral | hasZero}, {"市区町村郡", hasPlace},
		{"秘㊙ＣＴＩｃｔｉ", hasMarker}, {"CTIcti", mayBegin}, {"禁", hasBan}, {"持", hasCarry}, {"注", hasCare}, {"取", hasHandling},
	} {
		for _, c := range row.characters {
			table[c] |= row.has
		}
	}
	return table
}()

// look reads a text once, unfolded.
func look(text string) (seen traits) {
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			i++
			if has := traitsOf[c]; has == mayBegin {
				if seen&hasMarker == 0 && spells(text[i:], c|0x20) {
					seen |= hasMarker
				}
			} else {
				seen |= has
			}
			continue
		}
		r, size := rune(0), 3
		if c&0xF0 == 0xE0 && i+2 < len(text) && text[i+1]&0xC0 == 0x80 && text[i+2]&0xC0 == 0x80 {
			r = rune(c&0x0F)<<12 | rune(text[i+1]&0x3F)<<6 | rune(text[i+2]&0x3F)
		} else {
			r, size = utf8.DecodeRuneInString(text[i:])
		}
		i += size
		if r < 1<<16 {
			seen |= traitsOf[r]
		}
	}
	return seen
}

// spells tells whether a text goes on as an English marker behind its first letter, with any spaces between the letters.
func spells(text string, first byte) bool {
	rest := "onfidential"
	switch first {
	case 't':
		rest = "opsecret"
	case 'i':
		rest = "nternaluseonly"
	}
	for _, r := range text {
		if r >= utf8.RuneSelf {
			r = foldRune(r)
		}
		if r == ' ' {
			continue
		}
		if lower(r) != rune(rest[0]) {
			return false
		}
		if rest = rest[1:]; rest == "" {
			return true
		}
	}
	return false
}
