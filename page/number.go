package page

import "fmt"

// Number groups the digits of a number: 1,234,567.
func Number(n int64) string {
	digits := fmt.Sprint(n)
	for at := len(digits) - 3; at > 0 && digits[at-1] != '-'; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// Size writes a number of bytes in the unit that a person would use: 512 B, 1.2 MB.
func Size(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	value, units := float64(n)/1000, []string{"kB", "MB", "GB", "TB"}
	at := 0
	for value >= 999.95 && at < len(units)-1 {
		value /= 1000
		at++
	}
	return fmt.Sprintf("%.1f %s", value, units[at])
}
