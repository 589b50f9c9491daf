package jinja

import (
	"fmt"
	"strings"
	"time"
)

// strftime is Python's datetime.strftime in the C locale, of a time without a zone: %z and %Z are empty.
func (s *state) strftime(t time.Time, format string) string {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		bare := format[i] == '-' && i+1 < len(format)
		if bare {
			i++
		}
		text, ok := directive(t, format[i])
		if !ok {
			s.fail("strftime_now: the directive %%%c is not supported", format[i])
		}
		if bare {
			if text = strings.TrimLeft(text, "0 "); text == "" {
				text = "0"
			}
		}
		b.WriteString(text)
	}
	return b.String()
}

func directive(t time.Time, c byte) (string, bool) {
	layouts := map[byte]string{'a': "Mon", 'A': "Monday", 'b': "Jan", 'h': "Jan", 'B': "January", 'd': "02", 'e': "_2", 'm': "01", 'y': "06", 'Y': "2006",
		'H': "15", 'I': "03", 'p': "PM", 'M': "04", 'S': "05", 'j': "002", 'D': "01/02/06", 'F': "2006-01-02", 'T': "15:04:05", 'R': "15:04",
		'r': "03:04:05 PM", 'c': "Mon Jan _2 15:04:05 2006", 'x': "01/02/06", 'X': "15:04:05"}
	if layout, ok := layouts[c]; ok {
		return t.Format(layout), true
	}
	day, yday := int(t.Weekday()), t.YearDay()-1
	year, week := t.ISOWeek()
	hour := (t.Hour()+11)%12 + 1
	switch c {
	case '%':
		return "%", true
	case 'n':
		return "\n", true
	case 't':
		return "\t", true
	case 'z', 'Z':
		return "", true
	case 'f':
		return fmt.Sprintf("%06d", t.Nanosecond()/1000), true
	case 'k':
		return fmt.Sprintf("%2d", t.Hour()), true
	case 'l':
		return fmt.Sprintf("%2d", hour), true
	case 'P':
		return strings.ToLower(t.Format("PM")), true
	case 'w':
		return fmt.Sprint(day), true
	case 'u':
		return fmt.Sprint((day+6)%7 + 1), true
	case 'C':
		return fmt.Sprintf("%02d", t.Year()/100), true
	case 'U':
		return fmt.Sprintf("%02d", (yday+7-day)/7), true
	case 'W':
		return fmt.Sprintf("%02d", (yday+7-(day+6)%7)/7), true
	case 'G':
		return fmt.Sprintf("%04d", year), true
	case 'g':
		return fmt.Sprintf("%02d", year%100), true
	case 'V':
		return fmt.Sprintf("%02d", week), true
	}
	return "", false
}
