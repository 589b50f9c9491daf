package contract

import (
	"fmt"
	"time"
)

// Zone loads the time zone.
func (n Nightly) Zone() (*time.Location, error) {
	if n.TimeZone == "" || n.TimeZone == "Local" { // of whichever machine
		return nil, fmt.Errorf("%q names no time zone; want one as Asia/Tokyo or UTC", n.TimeZone)
	}
	zone, err := time.LoadLocation(n.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("%q names no time zone: %w", n.TimeZone, err)
	}
	return zone, nil
}
