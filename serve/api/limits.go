package api

import (
	"math"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxBuckets bounds the memory of a limiter that many addresses ask.
const maxBuckets = 1 << 14

// limiter keeps each name to a rate of requests.
type limiter struct {
	limit   rate.Limit
	burst   int
	mu      sync.Mutex
	buckets map[string]*rate.Limiter
}

// newLimiter returns nil where there is no limit.
func newLimiter(perSecond float64, burst int) *limiter {
	if perSecond == 0 {
		return nil
	}
	if burst == 0 {
		burst = max(1, int(math.Ceil(perSecond)))
	}
	return &limiter{limit: rate.Limit(perSecond), burst: burst, buckets: map[string]*rate.Limiter{}}
}

// wait takes a request in and returns 0, or refuses it and returns the time until one would be taken.
func (l *limiter) wait(name string) time.Duration {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	bucket := l.buckets[name]
	if bucket == nil {
		if len(l.buckets) >= maxBuckets {
			l.sweep(now)
		}
		bucket = rate.NewLimiter(l.limit, l.burst)
		l.buckets[name] = bucket
	}
	r := bucket.ReserveN(now, 1)
	d := r.DelayFrom(now)
	if d > 0 {
		r.CancelAt(now)
	}
	return d
}

// sweep forgets the names that have not asked for long, all of them if there is none.
func (l *limiter) sweep(now time.Time) {
	for name, bucket := range l.buckets {
		if bucket.TokensAt(now) >= float64(l.burst) {
			delete(l.buckets, name)
		}
	}
	if len(l.buckets) >= maxBuckets {
		clear(l.buckets)
	}
}

// remote is who stands behind an address: for IPv6 the network of 64 bits, in which a client chooses freely.
func remote(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		network, _ := ip.Prefix(64) // 64 bits fit every IPv6 address
		return network.String()
	}
	return ip.String()
}

func busy() *failure {
	return failed(http.StatusTooManyRequests, rateLimit, "too_many_in_flight", "the server answers as many requests as it can: wait as Retry-After says").
		after(time.Second)
}
