package policy

import "strings"

// findBankAccounts finds seven digits behind 普通, 当座 or the name of an account number, an account of the post bank by its symbol
// and number, and an IBAN.
func findBankAccounts(t *folded) (spans []span) {
	for g, first := range t.digits {
		switch first.end - first.start {
		case 7:
			if t.opens(first.start) && t.closes(first.end) && !t.counts(first.end) &&
				(t.deposit(first.start) || t.named(first.start, bankAccount)) {
				spans = append(spans, span{first.start, first.end, named})
			}
		case 5:
			if s, ok := t.postBank(g); ok {
				spans = append(spans, s)
			}
		}
		if s, ok := t.iban(first.start); ok {
			spans = append(spans, s)
		}
	}
	return spans
}

// deposits are kinds of accounts. They name a number only where nothing but joining words stands between: 普通列車 is a train.
var deposits = []string{"普通", "当座", "貯蓄", "(普)", "(当)"}

func (t *folded) deposit(i int) bool {
	for k := i; k > 0 && i-k < window; k-- {
		switch t.r[k-1] {
		case '通', '座', '蓄', ')':
			for _, word := range deposits {
				if t.endsAt(k, word) {
					return t.joins(k, i) && !t.usually(k)
				}
			}
		}
	}
	return false
}

// usually tells whether 普通 before rune k is the adverb: 普通は…, 普通に….
func (t *folded) usually(k int) bool {
	return t.endsAt(k, "普通") && strings.ContainsRune("はにがも", t.peek(k))
}

// postBank reads the symbol at group g, 1ddd0, and the number behind it: 記号 10120 番号 12345671, or 10120-12345671 where named.
// The symbol stands for a branch and stays, unless both are one number.
func (t *folded) postBank(g int) (span, bool) {
	if g+1 == len(t.digits) {
		return span{}, false
	}
	symbol, number := t.digits[g], t.digits[g+1]
	if n := number.end - number.start; n == 1 && g+2 < len(t.digits) && isHyphen(t.r[symbol.end]) && number.start == symbol.end+1 {
		number = t.digits[g+2] // 10120-1-12345671: the digit between says that the symbol was issued anew
	}
	if t.r[symbol.start] != '1' || t.r[symbol.end-1] != '0' || number.end-number.start < 2 || number.end-number.start > 8 || number.start-symbol.end > 12 ||
		!t.opens(symbol.start) || !t.closes(number.end) {
		return span{}, false
	}
	between := strings.Trim(string(t.r[symbol.end:number.start]), " :、,/-ー‐−–0123456789\t\n|=・■●◆")
	if between == "番号" && t.before(symbol.start, "記号", 4) {
		return span{number.start, number.end, named}, true
	}
	if between == "" && t.before(symbol.start, "ゆうちょ|記号番号|記号・番号|記号", 16) {
		return span{symbol.start, number.end, named}, true
	}
	return span{}, false
}

// before tells whether one of the words ends within that many characters before rune i, on its line.
func (t *folded) before(i int, words string, within int) bool {
	for k := i; k > 0 && i-k <= within && t.r[k-1] != '\n'; k-- {
		for word := range strings.SplitSeq(words, "|") {
			if t.endsAt(k, word) {
				return true
			}
		}
	}
	return false
}

// ibanLengths are those of the SWIFT registry, release 99.
var ibanLengths = map[string]int{"AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29, "BY": 28,
	"CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27,
	"GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HN": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30,
	"KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20, "MR": 27,
	"MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24,
	"SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24,
	"XK": 20, "YE": 30}

// iban reads an IBAN whose check digits begin at rune i: a country, its length, and a remainder of 1 modulo 97 (ISO 13616). Single
// spaces or hyphens may part its characters.
func (t *folded) iban(i int) (span, bool) {
	start := i - 2
	if !isUpper(t.peek(i-1)) || !isUpper(t.peek(start)) || !isDigit(t.peek(i+1)) || !t.opens(start) {
		return span{}, false
	}
	length := ibanLengths[string(t.r[start:i])]
	remainder, head := 0, 0
	add := func(c rune) int {
		if isDigit(c) {
			return int(c - '0')
		}
		return int(c-'A') + 10
	}
	for k, n := start, 0; length > 0; k++ {
		c := t.peek(k)
		switch {
		case isDigit(c) || isUpper(c):
		case (c == ' ' || isHyphen(c)) && (isDigit(t.peek(k+1)) || isUpper(t.peek(k+1))):
			continue
		default:
			return span{}, false
		}
		if n++; n > 4 { // the first four characters are counted last
			if remainder *= 10; !isDigit(c) {
				remainder *= 10
			}
			remainder = (remainder + add(c)) % 97
		}
		if n == length {
			for _, c := range t.r[start : start+2] {
				head = head*100 + add(c)
			}
			head = head*100 + int(t.r[i]-'0')*10 + int(t.r[i+1]-'0')
			return span{start, k + 1, checked}, (remainder*1_000_000+head)%97 == 1 && t.closes(k+1)
		}
	}
	return span{}, false
}
