package policy

import (
	"slices"
	"strings"
)

// maxWords is how many words an address has between its number and its municipality, city or state.
const maxWords = 8

// word is a word in Latin letters, [start, end) in runes.
type word struct{ start, end int }

// wordAfter reads the capitalised word that begins at rune i or behind a space, a comma or a line end before it.
func (t *folded) wordAfter(i int, lineEnd bool) (word, bool) {
	for n := 0; n < 2 && (t.peek(i) == ',' || t.peek(i) == '.'); n++ {
		i++
	}
	for n := 0; n < 2 && (t.peek(i) == ' ' || lineEnd && i < len(t.r) && t.peek(i) == '\n'); n++ {
		i++
	}
	end := i
	for end-i < 40 && (isWord(t.peek(end)) || (t.peek(end) == '-' || t.peek(end) == '\'' || t.peek(end) == '’') && isLetter(t.peek(end+1))) {
		end++
	}
	return word{i, end}, end > i && end-i < 40 && (isUpper(t.peek(i)) || isDigit(t.peek(i)))
}

// municipal tells whether a word is a municipality's: Chiyoda-ku, Yokohama-shi, Abuta-gun; Minato Ward.
func (t *folded) municipal(w word) bool {
	for _, suffix := range []string{"-ku", "-shi", "-gun", "-mura", "-son"} {
		if w.end-w.start > len(suffix) && t.endsAt(w.end, suffix) {
			return true
		}
	}
	return string(t.r[w.start:w.end]) == "Ward" || string(t.r[w.start:w.end]) == "City"
}

// blocks reads 1-2-3 that begins with group g; two numbers at least, of four digits at most.
func (t *folded) blocks(g int) (end int, ok bool) {
	first := t.digits[g]
	end = first.end
	n := 1
	for ; n <= 5 && g+1 < len(t.digits) && t.digits[g+1].start == end+1 && isHyphen(t.r[end]); n++ {
		g++
		if t.digits[g].end-t.digits[g].start > 4 {
			return 0, false
		}
		end = t.digits[g].end
	}
	if t.hasAt(end, "-chome") { // 1-2-chome does not occur; 2-chome 3-4 does
		return 0, false
	}
	return end, n >= 2 && n <= 5 && first.end-first.start <= 4 && t.r[first.start] != '0' && t.opens(first.start)
}

// romanised reads 1-2-3 Mihon-cho, Chiyoda-ku or Chiyoda-ku, Mihon-cho 1-2-3 by the group g of its first number.
func (t *folded) romanised(g int) (span, bool) {
	start := t.digits[g].start
	end, ok := t.blocks(g)
	if !ok || !t.closes(end) {
		return span{}, false
	}
	i := end
	for n := 0; n < maxWords; n++ {
		w, ok := t.wordAfter(i, false)
		if !ok || isDigit(t.r[w.start]) && !t.endsAt(w.end, "chome") {
			break
		}
		if i = w.end; t.municipal(w) {
			before, ok := t.wordBefore(start)
			if ok = ok && isWord(t.peek(before.start)); ok && (n == 0 && isUpper(t.r[before.start]) || t.endsAt(before.end, "-chome")) {
				start = before.start // Mihon-cho 1-2-3, Chiyoda-ku
			} else if n == 0 {
				break
			}
			return span{start, w.end, formed}, true
		}
	}
	if end-start == 8 && t.digits[g].end-start == 3 { // a postal code stands behind the prefecture
		return span{}, false
	}
	for n, i := 0, start; n < maxWords; n++ {
		w, ok := t.wordBefore(i)
		if !ok || !isUpper(t.r[w.start]) && !t.endsAt(w.end, "chome") {
			break
		}
		if i = w.start; n > 0 && t.municipal(w) {
			return span{w.start, end, formed}, true
		}
	}
	return span{}, false
}

// wordBefore reads the word that ends at rune i or before a space and a comma there.
func (t *folded) wordBefore(i int) (word, bool) {
	end := i
	if t.peek(end-1) == ' ' {
		end--
	}
	if t.peek(end-1) == ',' {
		end--
	}
	start := end
	for end-start < 40 && (isWord(t.peek(start-1)) || t.peek(start-1) == '-' && isWord(t.peek(start-2))) {
		start--
	}
	return word{start, end}, end < i && end > start && end-start < 40
}

var streets = strings.Split("Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Way|Terrace|Ter|Parkway|Pkwy|Circle|Cir|"+
	"Square|Sq|"+
	"Highway|Hwy|Trail|Trl|Loop|Alley|Plaza|Row|Walk|Broadway", "|")

var states = strings.Split("AL|AK|AZ|AR|CA|CO|CT|DE|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ|NM|NY|NC|ND|OH|OK|OR|PA|RI|SC|SD|"+
	"TN|TX|UT|VT|"+
	"VA|WA|WV|WI|WY|DC|PR|Alabama|Alaska|Arizona|Arkansas|California|Colorado|Connecticut|Delaware|Florida|Georgia|Hawaii|Idaho|Illinois|Indiana|Iowa|"+
	"Kansas|"+
	"Kentucky|Louisiana|Maine|Maryland|Massachusetts|Michigan|Minnesota|Mississippi|Missouri|Montana|Nebraska|Nevada|Hampshire|Jersey|Mexico|York|Carolina|"+
	"Dakota|Ohio|Oklahoma|Oregon|Pennsylvania|Island|Tennessee|Texas|Utah|Vermont|Virginia|Washington|Wisconsin|Wyoming|Columbia", "|")

// street reads 742 Sample Street, Springfield, IL 62704 by the group g of its number: a number, a name, a kind of street, a city,
// a state and, behind a state's name, a ZIP code.
func (t *folded) street(g int) (span, bool) {
	first := t.digits[g]
	if first.end-first.start > 6 || t.peek(first.end) != ' ' || !t.opens(first.start) {
		return span{}, false
	}
	isStreet := false
	for n, i := 0, first.end; n < 2*maxWords; n++ {
		w, ok := t.wordAfter(i, isStreet)
		if !ok {
			if !isStreet || t.peek(w.start) != '#' { // #501
				return span{}, false
			}
			w, ok = t.wordAfter(w.start+1, false)
			if !ok {
				return span{}, false
			}
		}
		i = w.end
		text := string(t.r[w.start:w.end])
		switch {
		case n > 0 && !isStreet && slices.Contains(streets, text):
			isStreet = true
		case !isStreet && n > 4:
			return span{}, false
		case isStreet && n > 1 && slices.Contains(states, text):
			zip, ok := t.zip(w.end)
			if ok || len(text) == 2 {
				return span{first.start, zip, formed}, true
			}
		}
	}
	return span{}, false
}

// zip reads the ZIP code behind rune i, and returns i where none is.
func (t *folded) zip(i int) (end int, ok bool) {
	k := i
	for n := 0; n < 2 && (t.peek(k) == ' ' || t.peek(k) == ','); n++ {
		k++
	}
	end = k
	for isDigit(t.peek(end)) {
		end++
	}
	if end-k != 5 {
		return i, false
	}
	if t.peek(end) == '-' && isDigit(t.peek(end+1)) {
		more := end + 1
		for isDigit(t.peek(more)) {
			more++
		}
		if more-end == 5 {
			end = more
		}
	}
	return end, !isWord(t.peek(end))
}
